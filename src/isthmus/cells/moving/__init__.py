"""A compute host that moves to another cell with its running servers."""
