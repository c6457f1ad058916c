"""Leases, shadow ports, merging and audit of objects that live in many sites: pure."""
