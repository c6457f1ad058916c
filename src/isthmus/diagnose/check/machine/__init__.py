"""A hypervisor and the daemons on it, beside the ports that are there."""
