"""The database server of a cell, as its administrator sees it."""
