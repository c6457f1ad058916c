"""Fakes, hypothesis strategies and pytest fixtures that ship with Isthmus."""
