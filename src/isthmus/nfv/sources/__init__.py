"""Inventories from what people already have: hwloc, lscpu, libvirt and sheets of a data centre."""
