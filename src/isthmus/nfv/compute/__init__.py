"""Hosts as Nova's databases have them: how many instances their NUMA nodes take."""
