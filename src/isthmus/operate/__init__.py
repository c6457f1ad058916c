"""What an operator does with the whole: sums over the Admin API and over the sites' Neutrons."""
