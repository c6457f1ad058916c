"""The doors outwards: every other process, socket or file of the system is behind one."""
