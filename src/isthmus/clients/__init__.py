"""Clients: every other process, socket or file of the system is reached through one of them."""
