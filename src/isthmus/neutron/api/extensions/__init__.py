"""The folder that Neutron's extension loader reads: one module, one class of the same name."""
