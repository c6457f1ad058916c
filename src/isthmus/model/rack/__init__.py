"""Fleets, machines and builds."""
