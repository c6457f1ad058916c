"""Commands on the whole cloud."""
