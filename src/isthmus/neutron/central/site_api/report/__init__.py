"""Reports of sites about their ports."""
