"""Engines, transactions, clocks and the tables themselves."""
