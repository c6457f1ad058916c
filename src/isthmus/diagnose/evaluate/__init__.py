"""Whether a packet passes: by Neutron's rules, and by the ACL rows that OVN has. Pure."""
