"""What a site's OVN is to hold of other sites."""
