"""How a guest's link is made and plugged into `br-int`, as Nova would do it. Pure: words alone."""

#: Settings of a guest's namespace. Like a guest: addresses are made from the MAC, as Neutron
#: foretells them, and are used at once, because Neutron has made sure that nobody else has them.
SYSCTLS = (
    *(
        f"net.ipv6.conf.default.{setting}"
        for setting in ("accept_dad=0", "dad_transmits=0", "addr_gen_mode=0", "use_tempaddr=0")
    ),
    "net.ipv4.ping_group_range=0 2147483647",
)


def tap(port_id: str) -> str:
    """Return the name of the hypervisor's end of a guest's link, as Nova does."""
    return f"tap{port_id[:11]}"


def render_link(port_id: str, *, name: str, mac: str, mtu: int, guest: str, host: str) -> str:
    """Write the `ip -batch` line that makes a link.

    Args:
        port_id: of Neutron's port.
        name: of the guest's end.
        mac: of the guest's end.
        mtu: of both ends.
        guest: the guest's namespace.
        host: the hypervisor's namespace.
    """
    return (
        f"link add {name} address {mac} mtu {mtu} netns {guest} type veth "
        f"peer name {tap(port_id)} mtu {mtu} netns {host}"
    )


def attach_words(port_id: str, *, mac: str, guest: str) -> list[str]:
    """Return the words of `ovs-vsctl` that plug a link.

    Args:
        port_id: of Neutron's port.
        mac: of the guest's end.
        guest: the server's id or name.
    """
    ids = {
        "iface-id": port_id,
        "attached-mac": mac,
        "vm-uuid": guest,
        "iface-status": "active",
    }
    words = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
    name = tap(port_id)
    return ["--may-exist", "add-port", "br-int", name, "--", "set", "Interface", name, *words]


def detach_words(port_id: str) -> list[str]:
    """Return the words of `ovs-vsctl` that unplug a link, if it is plugged."""
    return ["--if-exists", "del-port", "br-int", tap(port_id)]
