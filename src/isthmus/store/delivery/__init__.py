"""Intents and their way to the other tier."""
