"""Objects that are missing here are fetched from central."""
