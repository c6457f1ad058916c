"""From whatever is known of a host to one `HostInventory`."""
