"""From an inventory and a demand to a host plan: pure, and the same for the same input."""
