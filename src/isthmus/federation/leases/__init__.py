"""The arithmetic of leases and keys."""
