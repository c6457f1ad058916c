"""Provider networks at central: flat and VLAN networks on the fabric of a site."""
