"""Sites, site mappings, incarnations, and what is forgotten of them."""
