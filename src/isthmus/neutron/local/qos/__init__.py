"""QoS at a site: Neutron's own service plugin, with central behind what it does not have."""
