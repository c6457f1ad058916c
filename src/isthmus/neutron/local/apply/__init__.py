"""Carrying out what central wants of this site, one module for each type of object."""
