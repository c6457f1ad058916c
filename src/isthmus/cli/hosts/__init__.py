"""Commands on hosts and racks."""
