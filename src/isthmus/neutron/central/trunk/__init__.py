"""Trunks at central: Neutron's own service plugin, and where trunks are."""
