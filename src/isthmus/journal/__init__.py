"""Intents: what may differ from what is wanted, and when to look at it again."""
