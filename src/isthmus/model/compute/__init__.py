"""Nova's and Placement's nouns, as their databases have them."""
