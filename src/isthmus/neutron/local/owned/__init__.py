"""Whose an object is, and who may change it."""
