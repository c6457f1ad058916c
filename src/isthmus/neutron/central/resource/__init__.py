"""What central does with each resource: one file each, one row in the registry."""
