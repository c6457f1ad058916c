"""Sites, site mappings, incarnations, and their deletion."""
