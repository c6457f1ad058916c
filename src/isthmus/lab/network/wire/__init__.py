"""Wires of a lab, as text: underlay, what is outside of sites, the fabric that they share."""
