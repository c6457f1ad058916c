"""One list of servers over all cells."""
