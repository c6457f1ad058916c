"""Routers at a site: ML2/OVN's plugin, with those of central among its own."""
