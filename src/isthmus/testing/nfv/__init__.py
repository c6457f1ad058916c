"""Hosts for the tests of NFV."""
