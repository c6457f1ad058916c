"""Routers among sites in a few words, and what is decided of them in a few words."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_address, ip_network
from types import MappingProxyType

from isthmus.federation.exits.transit import DEFAULT_RANGES
from isthmus.model.exits.plan import Exit, ExitPlan, Forwarded
from isthmus.model.exits.request import (
    ExternalNetwork,
    ExternalSubnet,
    ExtraRoute,
    FloatingIp,
    Forwarding,
    Gateway,
    InternalSubnet,
    Limit,
    Ports,
    Protocol,
    RouterFacts,
    SiteFacts,
    Transit,
)
from isthmus.model.site import SiteName, SiteState

DATAPATH_KEY = 0xFFF0A1


def names(words: str) -> frozenset[SiteName]:
    return frozenset(SiteName(word) for word in words.split())


def site(name: str, state: str = "enabled", *, silent: bool = False, by: str = "") -> SiteFacts:
    return SiteFacts(
        name=SiteName(name),
        state=SiteState(state),
        is_reachable=not silent,
        leaves_by=tuple(SiteName(word) for word in by.split()),
    )


def external(network_id: str, sites: str, *subnets: str) -> ExternalNetwork:
    """Make a network; a subnet is `cidr` with its first address as gateway, or `cidr!` without."""
    made = []
    for text in subnets:
        cidr = ip_network(text.rstrip("!"))
        made.append(ExternalSubnet(cidr=cidr, gateway=None if text.endswith("!") else cidr[1]))
    return ExternalNetwork(id=network_id, sites=names(sites), subnets=frozenset(made))


def gateway(network_id: str, *addresses: str, snat: bool = True, default: bool = False) -> Gateway:
    return Gateway(
        network_id=network_id,
        addresses=frozenset(map(ip_address, addresses)),
        enable_snat=snat,
        is_default=default,
    )


def subnet(subnet_id: str, cidr: str, sites: str) -> InternalSubnet:
    return InternalSubnet(id=subnet_id, cidr=ip_network(cidr), sites=names(sites))


def floating(
    floating_id: str, address: str, network_id: str, fixed: str, home: str | None
) -> FloatingIp:
    return FloatingIp(
        id=floating_id,
        address=IPv4Address(address),
        network_id=network_id,
        fixed_address=IPv4Address(fixed),
        port_id=f"port-{fixed}",
        home=SiteName(home) if home else None,
    )


def ports(text: str) -> Ports:
    """Read `first-last`, or one port."""
    first, _, last = text.partition("-")
    return Ports(int(first), int(last or first))


def forwarding(
    forwarding_id: str, outside: str, network_id: str, inside: str, home: str | None
) -> Forwarding:
    """Make a forwarding of `protocol:address:ports` to `address:ports`."""
    protocol, address, external = outside.split(":")
    fixed, internal = inside.split(":")
    return Forwarding(
        id=forwarding_id,
        floating_ip_id=f"of-{address}",
        address=IPv4Address(address),
        network_id=network_id,
        fixed_address=IPv4Address(fixed),
        port_id=f"port-{fixed}",
        home=SiteName(home) if home else None,
        protocol=Protocol(protocol),
        outside=ports(external),
        inside=ports(internal),
    )


def extra(destination: str, next_hop: str) -> ExtraRoute:
    return ExtraRoute(destination=ip_network(destination), next_hop=ip_address(next_hop))


def router(
    subnets: Iterable[InternalSubnet] = (),
    gateways: Iterable[Gateway] = (),
    floating_ips: Iterable[FloatingIp] = (),
    extra_routes: Iterable[ExtraRoute] = (),
    forwardings: Iterable[Forwarding] = (),
    limits: Mapping[str, Limit] = MappingProxyType({}),
) -> RouterFacts:
    return RouterFacts(
        id="r1",
        subnets=frozenset(subnets),
        gateways=frozenset(gateways),
        floating_ips=frozenset(floating_ips),
        extra_routes=frozenset(extra_routes),
        forwardings=frozenset(forwardings),
        limits=frozenset((one, (limit,)) for one, limit in limits.items()),
    )


def transit(words: str, *ranges: str) -> Transit:
    """Give sites the port keys 1, 2 ... on a transit network."""
    return Transit(
        ranges=tuple(map(ip_network, ranges)) or DEFAULT_RANGES,
        datapath_key=DATAPATH_KEY,
        port_keys={SiteName(word): key for key, word in enumerate(words.split(), start=1)},
    )


def _say_ports(one: Ports) -> str:
    return str(one.first) if one.size == 1 else f"{one.first}-{one.last}"


def _say_forwarded(name: str, one: Forwarded) -> str:
    where = "outside" if one.answers else "inside"
    said = (
        f"{name} {where} {one.protocol} {one.external}:{_say_ports(one.outside)} to "
        f"{one.internal}:{_say_ports(one.inside)}"
    )
    if one.replies is None:
        return said
    inside = " ".join(map(str, one.replies.inside))
    only = f" only to {' '.join(map(str, one.replies.only))}" if one.replies.only else ""
    return f"{said}, replies not to {inside}{only}: via {one.replies.next_hop}"


def show(plan: ExitPlan) -> list[str]:
    """Say a decision line by line, sites in order."""
    lines = []
    for name, at in plan.sites.items():
        for version, found in at.exits.items():
            lines.append(
                f"{name} v{version}: {found.way} {found.site} {found.network_id} {found.next_hop}"
                if isinstance(found, Exit)
                else f"{name} v{version}: {found}"
            )
        lines += [
            f"{name} {one.purpose} {one.destination} via {one.next_hop} at {one.site}"
            for one in at.routes
            if one.purpose != "default"
        ]
        lines += [
            f"{name} policy {one.source} not to {' '.join(map(str, one.inside))}"
            f"{' only to ' + ' '.join(map(str, one.only)) if one.only else ''}: "
            f"via {one.next_hop} at {one.site}"
            for one in at.policies
        ]
        lines += [f"{name} snat {one.internal} as {one.external}" for one in at.snats]
        lines += [
            f"{name} nat {one.external} for {one.internal}{' at home' if one.at_home else ''}"
            for one in at.floating
        ]
        lines += [_say_forwarded(name, one) for one in at.forwarded]
        lines += [
            f"{name} limit {one.floating_ip_id} {one.external} on {one.network_id} "
            f"{limit.direction} {limit.max_kbps}"
            for one in at.limits
            for limit in one.limits
        ]
    lines += [f"{one} idle: {why}" for one, why in sorted(plan.idle.items())]
    if plan.transit_wanted:
        lines.append(f"wanted: {' '.join(sorted(plan.transit_wanted))}")
    return lines
