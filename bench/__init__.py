"""Measurements: each prints a ratio to a named peer that ran in the same minutes."""
