"""NFV hosts: inventory, plan, rendered files and checks."""
