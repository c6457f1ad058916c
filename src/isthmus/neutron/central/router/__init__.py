"""Routers at central: a plugin without agents, and where routers and their networks have to be."""
