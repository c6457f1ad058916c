"""Ports: what each tier knows of one, and what an operator has its home do with it."""
