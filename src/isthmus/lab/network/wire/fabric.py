"""The fabric that the sites of a lab share, as commands for `ip` and Open vSwitch: pure text.

One switch in the WAN's namespace, and a provider bridge of its own for each hypervisor. It carries
tagged and untagged frames as they are. No router is on it, so what cuts or slows the WAN, where
places are told apart by their addresses, does not touch it.
"""

from collections.abc import Iterator, Sequence

from isthmus.model.topology import Tier
from isthmus.services.render import (
    PHYSICAL_NETWORK,
    SHARED_NETWORK,
    UNDERLAY_MTU,
    name_own_network,
)

SWITCH = "fabric"
_BRIDGE = "br-fabric"
#: A bridge for the second name of a site's way out: Neutron wants one for each physical network.
_OWN_BRIDGE = "br-own"
_HOST_LINK = "ex-fabric"


def is_on(tier: Tier) -> bool:
    """Tell whether the hypervisors of a place are on the fabric: where it has an outside."""
    return tier.outside is not None and not tier.is_stock


def name_bridges(tier: Tier, outside: str) -> str:
    """Return the `ovn-bridge-mappings` of a site's hypervisors.

    Args:
        tier: the site, which has an outside.
        outside: the bridge to it.
    """
    mine = f"{PHYSICAL_NETWORK}:{outside}"
    own = f"{name_own_network(tier.name)}:{_OWN_BRIDGE}"
    return f"{mine},{SHARED_NETWORK}:{_BRIDGE},{own}" if is_on(tier) else mine


def render_links(tier: Tier, wan_netns: str) -> list[str]:
    """Write the `ip -batch` lines that join a site's hypervisors to the fabric."""
    return [
        f"link add {_HOST_LINK} netns {host.netns} mtu {UNDERLAY_MTU} type veth "
        f"peer name {_port(tier, number)} netns {wan_netns} mtu {UNDERLAY_MTU}"
        for number, host in enumerate(tier.hypervisors)
        if is_on(tier)
    ]


def render_switch(tiers: Sequence[Tier]) -> list[str]:
    """Write the `ip -batch` lines that make the switch, to run in the WAN's namespace."""
    lines = [f"link add {SWITCH} mtu {UNDERLAY_MTU} type bridge stp_state 0 forward_delay 0"]
    lines += [
        f"link set {_port(tier, number)} master {SWITCH} up"
        for tier in tiers
        if is_on(tier)
        for number, _ in enumerate(tier.hypervisors)
    ]
    return [*lines, f"link set {SWITCH} up"]


def render_inside(tier: Tier) -> dict[str, list[str]]:
    """Write the `ip -batch` lines to run in each hypervisor's namespace, by its name."""
    up = [f"link set {_HOST_LINK} up"]
    return {host.netns: up for host in tier.hypervisors} if is_on(tier) else {}


def list_links(tier: Tier, wan_netns: str) -> Iterator[tuple[str, str]]:
    """List (namespace, link) where the kernel must finish checksums itself."""
    if is_on(tier):
        for number, host in enumerate(tier.hypervisors):
            yield host.netns, _HOST_LINK
            yield wan_netns, _port(tier, number)


def switch_settings(tier: Tier, outside: str) -> list[str]:
    """Write the end of an `ovs-vsctl` transaction that joins a hypervisor to the fabric.

    Args:
        tier: its site.
        outside: the bridge to the world outside, which the one for its second name is joined to.
    """
    if not is_on(tier):
        return []
    return [
        *("--", "add-br", _BRIDGE, "--", "set", "Bridge", _BRIDGE, "datapath_type=netdev"),
        *("--", "add-port", _BRIDGE, _HOST_LINK),
        *("--", "add-br", _OWN_BRIDGE, "--", "set", "Bridge", _OWN_BRIDGE, "datapath_type=netdev"),
        *_patch(_OWN_BRIDGE, "own-to-ex", "ex-to-own"),
        *_patch(outside, "ex-to-own", "own-to-ex"),
    ]


def _patch(bridge: str, port: str, peer: str) -> list[str]:
    return [
        *("--", "add-port", bridge, port),
        *("--", "set", "Interface", port, "type=patch", f"options:peer={peer}"),
    ]


def _port(tier: Tier, number: int) -> str:
    return f"f{tier.number}h{number}"
