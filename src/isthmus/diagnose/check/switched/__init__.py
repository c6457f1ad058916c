"""How the switch of a network treats an end: whose addresses it lets pass, and what it learned."""
