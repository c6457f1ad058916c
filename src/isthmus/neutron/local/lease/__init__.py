"""The site's leases of addresses and port keys, and the requests for more."""
