"""The one place where engines meet clients."""
