"""Ownership of objects, and who may change them."""
