"""What a guest is given beside its way: DHCP, addresses, names, limits."""
