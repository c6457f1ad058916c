"""The world outside a site, as commands for `ip` and settings of Open vSwitch: pure text.

Every hypervisor of a site has a provider bridge with two links to the site's outside namespace: one
for untagged frames, one that is an access port of a VLAN. So a VLAN provider network is as good as
a flat one, and the kernel needs no VLAN devices. In the namespace a switch for each joins the
hypervisors; the namespace is the network's gateway, and has hosts behind itself.
"""

from collections.abc import Iterator

from isthmus.lab.network.wire import fabric
from isthmus.model.topology import Hypervisor, Outside, ProviderNetwork, Tier
from isthmus.services.render import UNDERLAY_MTU

BRIDGE = "br-ex"


def render_links(tier: Tier) -> list[str]:
    """Write the `ip -batch` lines that join a site's hypervisors to its outside."""
    if tier.outside is None:
        return []
    return [
        f"link add {_host_link(network)} netns {host.netns} mtu {UNDERLAY_MTU} type veth "
        f"peer name {_port(network, number)} netns {tier.outside.netns} mtu {UNDERLAY_MTU}"
        for network in tier.outside.networks
        for number, host in enumerate(tier.hypervisors)
    ]


def render_inside(tier: Tier) -> dict[str, list[str]]:
    """Write the `ip -batch` lines to run in each namespace, by its name."""
    outside = tier.outside
    if outside is None:
        return {}
    inside = {outside.netns: ["link set lo up", *_outside_lines(tier, outside)]}
    for host in tier.hypervisors:
        inside[host.netns] = [f"link set {_host_link(network)} up" for network in outside.networks]
    return inside


def render_sysctls() -> list[str]:
    """Write the kernel settings of an outside namespace: a router of both IP versions."""
    return [
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        # Addresses are used at once: nobody else has them.
        "net.ipv6.conf.all.accept_dad=0",
        "net.ipv6.conf.default.accept_dad=0",
        "net.ipv6.conf.default.dad_transmits=0",
        "net.ipv4.ping_group_range=0 2147483647",
    ]


def list_links(tier: Tier) -> Iterator[tuple[str, str]]:
    """List (namespace, link) where the kernel must finish checksums itself.

    A link is listed before the switch that it is a port of: a switch offers what its ports do.
    """
    if tier.outside is None:
        return
    for network in tier.outside.networks:
        for number, host in enumerate(tier.hypervisors):
            yield host.netns, _host_link(network)
            yield tier.outside.netns, _port(network, number)
        yield tier.outside.netns, network.name


def switch_settings(tier: Tier, host: Hypervisor) -> list[str]:
    """Write the end of an `ovs-vsctl` transaction that gives a hypervisor its provider bridge."""
    if tier.outside is None:
        return []
    words = ["--", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev"]
    for network in tier.outside.networks:
        words += ["--", "add-port", BRIDGE, _host_link(network)]
        words += [f"tag={network.vlan or 0}"]
    words += ["--", "set", "Open_vSwitch", "."]
    words.append(f"external_ids:ovn-bridge-mappings={fabric.name_bridges(tier, BRIDGE)}")
    if host.name in tier.outside.gateways:
        words.append("external_ids:ovn-cms-options=enable-chassis-as-gw")
    return words


def _outside_lines(tier: Tier, outside: Outside) -> Iterator[str]:
    for network in outside.networks:
        # Nobody else is on this switch: no spanning tree, no waiting to forward.
        yield (
            f"link add {network.name} mtu {UNDERLAY_MTU} type bridge stp_state 0 forward_delay 0"
        )
        for number, gateway in enumerate(network.gateways):
            prefix_length = network.subnets[number].prefixlen
            yield f"addr add {gateway}/{prefix_length} dev {network.name}"
        for number, _ in enumerate(tier.hypervisors):
            yield f"link set {_port(network, number)} master {network.name} up"
        yield f"link set {network.name} up"
    for address in outside.hosts:
        yield f"addr add {address}/{address.max_prefixlen} dev lo"


def _host_link(network: ProviderNetwork) -> str:
    return f"ex-{network.name}"


def _port(network: ProviderNetwork, number: int) -> str:
    return f"{network.name}{number}"
