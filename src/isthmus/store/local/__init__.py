"""Tables that only a site has."""
