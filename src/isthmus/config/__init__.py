"""Settings: oslo.config groups, read once into frozen objects."""
