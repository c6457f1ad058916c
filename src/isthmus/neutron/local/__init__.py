"""A site's Neutron: ML2/OVN, with networks that central owns and packets that stay local."""
