"""One file a kind of rows: the noun, what is desired, how it is read, compared and written."""
