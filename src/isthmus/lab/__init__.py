"""Whole sites on one machine, from a topology."""
