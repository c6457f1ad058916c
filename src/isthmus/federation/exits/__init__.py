"""By which sites a router's traffic leaves and comes back. Pure."""
