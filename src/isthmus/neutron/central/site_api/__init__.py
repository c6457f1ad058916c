"""The API between central and the sites."""
