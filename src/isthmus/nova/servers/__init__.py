"""`GET /servers/detail` of Nova's API, over many cells of which one may hang."""
