"""Joins what looks into all tiers with the clouds, a lab or a dump."""
