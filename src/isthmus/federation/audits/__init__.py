"""The audit of all tiers."""
