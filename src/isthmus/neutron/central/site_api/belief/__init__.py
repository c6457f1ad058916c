"""What a site is believed in."""
