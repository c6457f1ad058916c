"""How many instances fit, placed as Nova places them."""
