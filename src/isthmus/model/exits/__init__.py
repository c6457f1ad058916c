"""How the traffic of a router leaves a cloud of many sites: what is asked, and what is decided."""
