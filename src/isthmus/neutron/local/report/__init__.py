"""What the site tells central: noted with each change, carried by a thread."""
