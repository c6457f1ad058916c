"""What a transaction changes, and which groups belong together: what rows of resources stand on."""
