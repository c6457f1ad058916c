"""What a site writes to its OVN in addition to Neutron."""
