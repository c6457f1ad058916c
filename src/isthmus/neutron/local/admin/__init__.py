"""What a site tells an operator of itself."""
