"""QoS at central: Neutron's own service plugin, with a driver that takes what sites can do."""
