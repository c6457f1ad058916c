"""The plugins that Neutron loads; the only room that imports Neutron."""
