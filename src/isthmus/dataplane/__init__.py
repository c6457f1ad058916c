"""What a site's OVN is to hold of other sites, and the thread that keeps it so."""
