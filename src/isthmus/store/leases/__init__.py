"""Who may give out which numbers, and what has been given back."""
