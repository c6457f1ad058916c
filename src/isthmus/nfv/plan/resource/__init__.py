"""One resource of a host a file."""
