"""The plugins of the central Neutron: the API of the whole cloud, with no data plane of its own."""
