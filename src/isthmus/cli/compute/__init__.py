"""Commands on the cells of Nova."""
