"""The databases of Nova and Placement: read, and written where the life of a cell asks for it."""
