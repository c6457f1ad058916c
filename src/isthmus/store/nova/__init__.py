"""The databases of Nova and Placement: read, and never written."""
