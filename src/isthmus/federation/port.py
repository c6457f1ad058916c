"""Which attributes of a port belong to whom."""

#: May be changed at central and at the home site; merged where both did (`merge`).
SHARED: tuple[str, ...] = (
    "name",
    "description",
    "admin_state_up",
    "mac_address",
    "fixed_ips",
    "security_groups",
    "allowed_address_pairs",
    "port_security_enabled",
    "extra_dhcp_opts",
)
#: The home site alone says what they are.
HOME: tuple[str, ...] = ("device_id", "device_owner", "binding:vnic_type")
