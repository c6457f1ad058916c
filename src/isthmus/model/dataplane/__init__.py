"""Rows of OVN and the shadows of ports."""
