"""Machines that somebody else listed: sheets, Ironic's inventories, NetBox's exports."""
