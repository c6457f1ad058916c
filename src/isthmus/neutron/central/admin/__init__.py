"""The Admin API: what an operator sees and does, as methods that Neutron's API finds by name."""
