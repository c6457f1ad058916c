"""What central and the sites say to each other."""
