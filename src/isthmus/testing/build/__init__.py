"""Fleets and runs for the tests of the build."""
