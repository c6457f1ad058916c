"""Repairing what `isthmus why` has found: the printed commands, what they change, and doing it."""
