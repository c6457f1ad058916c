"""The folder that Neutron's migration tool reads."""
