"""Reading what a verdict needs, at all sites at once."""
