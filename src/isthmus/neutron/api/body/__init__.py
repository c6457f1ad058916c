"""What the bodies of requests have to be."""
