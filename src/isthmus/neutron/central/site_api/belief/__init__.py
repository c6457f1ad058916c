"""What central believes a site."""
