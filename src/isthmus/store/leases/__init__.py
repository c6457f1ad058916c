"""Leases, recalls, returns, and numbers at rest."""
