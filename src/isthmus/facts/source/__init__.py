"""Inventories from what people have: saved facts, introspection data, hwloc, sheets."""
