"""What a site writes to its OVN besides Neutron."""
