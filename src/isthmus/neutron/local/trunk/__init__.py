"""Trunks at a site: Neutron's own service plugin, with central's trunks guarded."""
