"""What the site reports to central: recorded with each change, delivered by a thread."""
