"""Checks of what lies between networks: routers, exits, translations, and OVN's rows of them."""
