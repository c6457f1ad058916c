"""Homes, locations, shadows and tunnel keys."""
