"""The lab's wires, as commands for `ip`: pure text, so that it can be read and tested.

One namespace is the WAN: it holds a switch for each place and routes between them. Whatever a place
says to another place passes there, control and data alike, and nowhere else.
"""

from collections.abc import Iterator

from isthmus.lab.network.wire import fabric, outside
from isthmus.lab.plan import LabPlan
from isthmus.model.topology import Hypervisor, Tier
from isthmus.services.render import UNDERLAY_MTU

#: A hypervisor's link to the underlay; Open vSwitch takes it over.
HOST_LINK = "eth0"
#: A tier's link to the underlay, and its link to the machine.
TIER_LINK = "eth0"
MANAGEMENT_LINK = "mgmt"


def list_netns(plan: LabPlan) -> list[str]:
    """List every namespace that the lab stands in, servers' aside."""
    tiers = [tier.netns for tier in plan.tiers]
    hosts = [host.netns for host in plan.hypervisors]
    return [plan.wan_netns, *tiers, *hosts, *_list_outside(plan)]


def machine_link(plan: LabPlan, tier: Tier) -> str:
    """Return the name of the machine's end of a management link, at most 15 characters long."""
    return f"isth{plan.number}m{tier.number}"


def render_links(plan: LabPlan) -> list[str]:
    """Write the `ip -batch` lines, run in the machine's namespace, that make links and addresses.

    The namespaces must be there.
    """
    lines: list[str] = []
    for tier in plan.tiers:
        lines += _tier_links(plan, tier)
        for number, host in enumerate(tier.hypervisors):
            lines += _host_link(plan, tier, number, host)
        lines += outside.render_links(tier)
        lines += fabric.render_links(tier, plan.wan_netns)
    return lines


def render_inside(plan: LabPlan) -> dict[str, list[str]]:
    """Write the `ip -batch` lines to run in each namespace, by its name."""
    inside = {plan.wan_netns: ["link set lo up", *fabric.render_switch(plan.tiers)]}
    for tier in plan.tiers:
        inside[plan.wan_netns] += list(_wan_lines(tier))
        inside[tier.netns] = [
            "link set lo up",
            f"addr add {tier.address}/{tier.subnet.prefixlen} dev {TIER_LINK}",
            f"link set {TIER_LINK} up",
            f"addr add {tier.management_address}/{tier.management.prefixlen} dev {MANAGEMENT_LINK}",
            f"link set {MANAGEMENT_LINK} up",
            f"route add default via {tier.router}",
        ]
        for host in tier.hypervisors:
            inside[host.netns] = ["link set lo up", f"link set {HOST_LINK} up"]
        for more in (outside.render_inside(tier), fabric.render_inside(tier)):
            for netns, lines in more.items():
                inside.setdefault(netns, []).extend(lines)
    return inside


def render_sysctls(plan: LabPlan) -> dict[str, list[str]]:
    """Write the kernel settings of each namespace."""
    still = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"]
    settings = dict.fromkeys(list_netns(plan), still)
    settings[plan.wan_netns] = [
        *still,
        "net.ipv4.ip_forward=1",
        # A delayed packet comes back to the router from another device than its source is behind.
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.default.rp_filter=0",
    ]
    settings |= dict.fromkeys(_list_outside(plan), outside.render_sysctls())
    return settings


def links_without_offload(plan: LabPlan) -> list[tuple[str, str]]:
    """List (namespace, link) where the kernel must finish checksums itself.

    Open vSwitch in user space takes packets off these links as they are; a checksum that was left
    for hardware to fill in would go out wrong.
    """
    found = []
    for tier in plan.tiers:
        found += [(tier.netns, TIER_LINK), (plan.wan_netns, _tier_port(tier))]
        for number, host in enumerate(tier.hypervisors):
            found += [(host.netns, HOST_LINK), (plan.wan_netns, _host_port(tier, number))]
        found += outside.list_links(tier)
        found += fabric.list_links(tier, plan.wan_netns)
    return found


def _list_outside(plan: LabPlan) -> list[str]:
    return [tier.outside.netns for tier in plan.tiers if tier.outside is not None]


def _tier_links(plan: LabPlan, tier: Tier) -> list[str]:
    return [
        f"link add {TIER_LINK} netns {tier.netns} mtu {UNDERLAY_MTU} type veth "
        f"peer name {_tier_port(tier)} netns {plan.wan_netns} mtu {UNDERLAY_MTU}",
        f"link add {machine_link(plan, tier)} type veth "
        f"peer name {MANAGEMENT_LINK} netns {tier.netns}",
        f"addr add {tier.machine_address}/{tier.management.prefixlen} "
        f"dev {machine_link(plan, tier)}",
        f"link set {machine_link(plan, tier)} up",
    ]


def _host_link(plan: LabPlan, tier: Tier, number: int, host: Hypervisor) -> list[str]:
    return [
        f"link add {HOST_LINK} netns {host.netns} mtu {UNDERLAY_MTU} type veth "
        f"peer name {_host_port(tier, number)} netns {plan.wan_netns} mtu {UNDERLAY_MTU}"
    ]


def _wan_lines(tier: Tier) -> Iterator[str]:
    # Nobody else is on this switch: no spanning tree, no waiting to forward.
    made = f"link add {tier.bridge} mtu {UNDERLAY_MTU} type bridge stp_state 0 forward_delay 0"
    yield made
    yield f"addr add {tier.router}/{tier.subnet.prefixlen} dev {tier.bridge}"
    yield f"link set {tier.bridge} up"
    ports = [_tier_port(tier), *(_host_port(tier, n) for n in range(len(tier.hypervisors)))]
    for port in ports:
        yield f"link set {port} master {tier.bridge} up"


def _tier_port(tier: Tier) -> str:
    return f"p{tier.number}s"


def _host_port(tier: Tier, number: int) -> str:
    return f"p{tier.number}h{number}"
