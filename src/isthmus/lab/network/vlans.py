"""VLAN devices of a lab server: what a trunk's subports are for its guest.

The kernel may have no VLAN devices, so the hypervisor has a bridge between the server and `br-int`.
The server's link and each VLAN device are access ports of it; what it passes on to `br-int` is the
trunk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isthmus import errors

Row = Mapping[str, Any]


def find_subports(port: Row, tags: Sequence[int]) -> dict[int, Row]:
    """Find the subports of a server's port that have these tags. Pure.

    Raises:
        NotFound: the port has no trunk, or that has no subport with a tag.
    """
    listed = (port.get("trunk_details") or {}).get("sub_ports", ())
    known = {one["segmentation_id"]: one for one in listed}
    for tag in tags:
        if tag not in known:
            has = ", ".join(map(str, sorted(known))) or "none"
            raise errors.NotFound(
                f"port {port['id']} has no subport with VLAN {tag}; it has: {has}. Make one first: "
                f"openstack network trunk set TRUNK --subport port=PORT,segmentation-type=vlan,"
                f"segmentation-id={tag}"
            )
    return {tag: known[tag] for tag in tags}


def device(link: str, tag: int) -> str:
    """Return the name of a VLAN device."""
    return f"{link}.{tag}"


def bridge(port_id: str) -> str:
    """Return the name of the bridge of a server's VLANs, as agents of ML2/OVS call it."""
    return f"tbr-{port_id[:11]}"


def guest_end(port_id: str, tag: int = 0) -> str:
    """Return the name of the bridge's end of a link to the server: 0 is what is untagged."""
    return f"t{tag}-{port_id[:8]}"


def uplink(port_id: str) -> str:
    """Return the name of the bridge's end of its link to `br-int`."""
    return f"tup{port_id[:11]}"


def render_links(
    port_id: str, tap: str, netns: str, macs: Mapping[str, str], mtu: int
) -> Iterator[str]:
    """Write the `ip -batch` lines, to run in the hypervisor, that join a server to its bridge.

    Args:
        port_id: of the server's port.
        tap: the end at `br-int`.
        netns: the server's.
        macs: of the server's devices, by name: its link first, then one for each VLAN as `device`
            calls it.
        mtu: of all of them.
    """
    yield f"link add {uplink(port_id)} mtu {mtu} type veth peer name {tap} mtu {mtu}"
    yield f"link set {uplink(port_id)} up"
    for name, mac in macs.items():
        end = guest_end(port_id, int(name.partition(".")[2] or 0))
        yield (
            f"link add {end} mtu {mtu} type veth "
            f"peer name {name} address {mac} mtu {mtu} netns {netns}"
        )
        yield f"link set {end} up"


def switch_words(port_id: str, tags: Sequence[int]) -> list[str]:
    """Write the `ovs-vsctl` transaction that makes a server's bridge."""
    name = bridge(port_id)
    words = ["add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev"]
    words += ["--", "add-port", name, uplink(port_id)]
    for tag in (0, *tags):
        words += ["--", "add-port", name, guest_end(port_id, tag), f"tag={tag}"]
    return words
