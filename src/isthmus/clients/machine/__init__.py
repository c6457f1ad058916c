"""Processes, shells and hosts."""
