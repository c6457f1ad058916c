"""Facts of a live host, one family a file."""
