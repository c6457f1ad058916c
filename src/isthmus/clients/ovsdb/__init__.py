"""OVN's databases."""
