"""Which way a packet takes through routers: pure, over what was seen of central."""
