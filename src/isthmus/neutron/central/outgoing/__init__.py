"""What a transaction changes, and what objects take along: the base of the resource rows."""
