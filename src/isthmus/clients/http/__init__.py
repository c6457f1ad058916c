"""OpenStack's APIs and our own."""
