"""Agents of Neutron, and what those of ML2/OVS have on their hypervisors."""
