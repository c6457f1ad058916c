"""Cells of Nova: how much still fits in them, and one list over all of them."""
