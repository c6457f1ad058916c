"""Kinds of rows of routers: the transit network, and what is decided of their exits."""
