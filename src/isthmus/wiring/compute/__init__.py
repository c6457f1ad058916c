"""Nova's databases joined to engines."""
