"""A build that failed on every host of its cell is tried in another (ADR 0114)."""
