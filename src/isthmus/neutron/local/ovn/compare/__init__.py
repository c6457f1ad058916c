"""Neutron's rows in a site's OVN, compared with Neutron's database."""
