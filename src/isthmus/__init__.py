"""Many OpenStack sites, run as one cloud."""
