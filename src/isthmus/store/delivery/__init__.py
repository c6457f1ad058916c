"""Intents and their delivery to the other tier."""
