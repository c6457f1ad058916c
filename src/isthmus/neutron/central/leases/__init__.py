"""Pools at central: leases, recalls, returns."""
