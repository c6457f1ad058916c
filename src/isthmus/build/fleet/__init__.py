"""The fleet file: read with the place of every value, and checked with every fault at once."""
