"""From an inventory and an intent to a host plan: pure, and the same for the same input."""
