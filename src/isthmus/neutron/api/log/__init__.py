"""What Neutron logs of our answers."""
