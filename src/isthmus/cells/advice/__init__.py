"""Whether a cell is large enough: what is measured, and what follows from it."""
