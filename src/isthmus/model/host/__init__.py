"""A host's hardware, what is demanded of it, and its plan."""
