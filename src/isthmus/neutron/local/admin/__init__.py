"""What a site's API shows an operator."""
