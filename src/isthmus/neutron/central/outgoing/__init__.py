"""What a transaction changes, and which groups belong together: the base of the resource rows."""
