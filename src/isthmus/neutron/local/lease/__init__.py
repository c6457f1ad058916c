"""The site's blocks of addresses and port keys: their rows, and asking for more in time."""
