"""A whole federation in memory, for the state machine."""
