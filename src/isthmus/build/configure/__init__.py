"""What Ansible reads to make sites of installed machines: inventory and settings. Pure."""
