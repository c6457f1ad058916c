"""What is refused of a router before any site is written, each by its name.

Only what a person asks for is refused. What becomes impossible later, because a site is disabled or
loses a network, is a `Lack` in the decision: it heals by itself.
"""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isthmus import errors
from isthmus.federation.exits import forward
from isthmus.federation.exits import transit as addressing
from isthmus.federation.exits.decide import needs_transit
from isthmus.federation.exits.scene import Scene, set_scene
from isthmus.federation.exits.seat import order
from isthmus.model.exits.plan import MOST_FORWARDED, Lack
from isthmus.model.exits.request import (
    ExternalNetwork,
    FloatingIp,
    Forwarding,
    Prefix,
    RouterFacts,
    SiteFacts,
    Transit,
)


class Name(enum.StrEnum):
    """The names of refusals; they do not change."""

    NETWORK_AT_NO_SITE = "network-at-no-site"
    TWO_EXITS_AT_ONE_SITE = "two-exits-at-one-site"
    TRANSIT_OVERLAPS_SUBNET = "transit-overlaps-subnet"
    TRANSIT_IN_USE = "transit-in-use"
    TRANSIT_EXHAUSTED = "transit-exhausted"
    FLOATING_IP_WITHOUT_GATEWAY = "floating-ip-without-gateway"
    FLOATING_IP_WITHOUT_SUBNET = "floating-ip-without-subnet"
    FLOATING_IP_OUT_OF_REACH = "floating-ip-out-of-reach"
    FLOATING_IP_OTHER_WAY = "floating-ip-other-way"
    FORWARDING_BESIDE_FLOATING_IP = "forwarding-beside-floating-ip"
    FORWARDING_COLLIDES = "forwarding-collides"
    FORWARDING_TOO_MANY = "forwarding-too-many"
    FORWARDING_UNEVEN = "forwarding-uneven"


#: Refusals about the network by which a router's instances reach each other.
ABOUT_TRANSIT = frozenset(
    {Name.TRANSIT_OVERLAPS_SUBNET, Name.TRANSIT_IN_USE, Name.TRANSIT_EXHAUSTED}
)
#: Refusals whose subject is a floating IP or a port forwarding.
ABOUT_FLOATING = frozenset(
    {
        Name.FLOATING_IP_WITHOUT_GATEWAY,
        Name.FLOATING_IP_WITHOUT_SUBNET,
        Name.FLOATING_IP_OUT_OF_REACH,
        Name.FLOATING_IP_OTHER_WAY,
        Name.FORWARDING_BESIDE_FLOATING_IP,
        Name.FORWARDING_COLLIDES,
        Name.FORWARDING_TOO_MANY,
        Name.FORWARDING_UNEVEN,
    }
)

#: Of those, where another object than the subject may be the reason as well.
_OF_SEVERAL = frozenset(
    {
        Name.FLOATING_IP_OTHER_WAY,
        Name.FORWARDING_BESIDE_FLOATING_IP,
        Name.FORWARDING_COLLIDES,
        Name.FORWARDING_TOO_MANY,
        Name.TWO_EXITS_AT_ONE_SITE,
    }
)
#: What a floating IP is refused for that has lost a gateway or an interface.
CUTS_FLOATING = frozenset({Name.FLOATING_IP_WITHOUT_GATEWAY, Name.FLOATING_IP_WITHOUT_SUBNET})


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """One thing that cannot be, and why."""

    name: Name
    subject: str  #: id of the network, subnet, floating IP or port forwarding
    message: str

    @property
    def is_of_several(self) -> bool:
        """Return whether another object than the subject may be the reason as well."""
        return self.name in _OF_SEVERAL

    def to_error(self) -> errors.Conflict:
        """Return the error to raise; its text ends with the name, which alone Neutron shows."""
        return errors.Conflict(
            f"{self.message} ({self.name.value})", name=self.name.value, subject=self.subject
        )


def list_refusals(
    router: RouterFacts,
    networks: Iterable[ExternalNetwork],
    sites: Iterable[SiteFacts],
    transit: Transit | None = None,
) -> list[Refusal]:
    """List why a router cannot be as it is asked for; in a stable order.

    Args:
        router: what is asked for.
        networks: the external networks of its gateways.
        sites: all sites.
        transit: its transit network, if it has one.
    """
    known = {network.id: network for network in networks}
    scene = set_scene(router, known.values(), sites, transit)
    ranges = transit.ranges if transit is not None else addressing.DEFAULT_RANGES
    return sorted(
        [
            *_about_gateways(scene, known),
            *(_about_transit(scene, known.values(), ranges) if needs_transit(scene) else ()),
            *(one for floating in scene.floating_ips for one in _about_floating(scene, floating)),
            *_about_forwardings(scene),
        ]
    )


def require_possible(
    router: RouterFacts,
    networks: Iterable[ExternalNetwork],
    sites: Iterable[SiteFacts],
    transit: Transit | None = None,
) -> None:
    """Refuse a router that cannot be as it is asked for.

    Args:
        router: what is asked for.
        networks: the external networks of its gateways.
        sites: all sites.
        transit: its transit network, if it has one.

    Raises:
        Conflict: it cannot; the field `name` says by which rule.
    """
    for refusal in list_refusals(router, networks, sites, transit):
        raise refusal.to_error()


def _about_gateways(scene: Scene, networks: dict[str, ExternalNetwork]) -> Iterator[Refusal]:
    for gateway in sorted(scene.seats, key=order):
        network = networks.get(gateway.network_id)
        there = network.sites & scene.sites.keys() if network is not None else frozenset()
        if not there:
            yield Refusal(
                Name.NETWORK_AT_NO_SITE,
                gateway.network_id,
                f"external network {gateway.network_id} is at no site where router "
                f"{scene.router.id} may be, so the router cannot leave by it: create the network "
                "for a site that serves the router's zones (--availability-zone-hint)",
            )
        elif scene.planned[gateway] is None:
            yield Refusal(
                Name.TWO_EXITS_AT_ONE_SITE,
                gateway.network_id,
                f"router {scene.router.id} would have two exits at {', '.join(sorted(there))}: a "
                f"site has one, so take another gateway away before external network "
                f"{gateway.network_id} is added",
            )


def _about_transit(
    scene: Scene, networks: Iterable[ExternalNetwork], ranges: Iterable[Prefix]
) -> Iterator[Refusal]:
    left_by = {gateway.network_id for gateway in scene.seats}
    used = [
        (network.id, one.cidr)
        for network in networks
        if network.id in left_by
        for one in network.subnets
    ]
    used += [
        (str(one.destination), one.destination)
        for one in scene.router.extra_routes
        if one.destination.prefixlen
    ]
    for prefix in ranges:
        for subnet in scene.subnets:
            if _overlap(prefix, subnet.cidr):
                yield Refusal(
                    Name.TRANSIT_OVERLAPS_SUBNET,
                    subnet.id,
                    f"subnet {subnet.id} ({subnet.cidr}) overlaps {prefix}, by which the instances "
                    f"of router {scene.router.id} reach each other: choose another range",
                )
        for subject, cidr in used:
            if _overlap(prefix, cidr):
                yield Refusal(
                    Name.TRANSIT_IN_USE,
                    subject,
                    f"{cidr} ({subject}) overlaps {prefix}, by which the instances of router "
                    f"{scene.router.id} reach each other: set another transit range at central",
                )
    for site, key in sorted((scene.transit.port_keys if scene.transit else {}).items()):
        if not any(addressing.fits(prefix, key) for prefix in ranges):
            yield Refusal(
                Name.TRANSIT_EXHAUSTED,
                site,
                f"site {site} has port key {key} on the transit network of router "
                f"{scene.router.id}, for which no range has an address: set a larger transit range",
            )


def _about_floating(scene: Scene, floating: FloatingIp) -> Iterator[Refusal]:
    found = list(_about_way(scene, floating))
    yield from found or _about_other_way(scene, floating)


def _about_way(scene: Scene, floating: FloatingIp | Forwarding) -> Iterator[Refusal]:
    """Tell why a floating IP, or one with a forwarding, has no way to its port."""
    where = scene.find_nat_site(floating)
    if where is Lack.NO_GATEWAY_ON_NETWORK:
        yield Refusal(
            Name.FLOATING_IP_WITHOUT_GATEWAY,
            floating.id,
            f"router {scene.router.id} has no gateway on external network {floating.network_id}, "
            f"so floating IP {floating.address} cannot reach {floating.fixed_address}: add one",
        )
    elif where is Lack.NO_SUBNET:
        yield Refusal(
            Name.FLOATING_IP_WITHOUT_SUBNET,
            floating.id,
            f"router {scene.router.id} has no interface on the subnet of {floating.fixed_address}, "
            f"so floating IP {floating.address} cannot reach it: add one",
        )
    elif floating.home is not None and not _is_reached(scene, floating):
        yield Refusal(
            Name.FLOATING_IP_OUT_OF_REACH,
            floating.id,
            f"port {floating.port_id} lives at site {floating.home}, where its network is not "
            f"present as far as router {scene.router.id} knows: floating IP {floating.address} has "
            "no way to it",
        )


def _about_forwardings(scene: Scene) -> Iterator[Refusal]:
    """Refuse forwardings that have no way, and what cannot be side by side."""
    taken = forward.Taken()
    for one, why in forward.judge_forwardings(scene, taken):
        yield from _about_way(scene, one)
        if why is Lack.UNEVEN:
            yield Refusal(
                Name.FORWARDING_UNEVEN,
                one.id,
                f"{one.outside.size} ports of {one.address} would lead to {one.inside.size} of "
                f"{one.fixed_address}: it is as many, or one; name both sides in one request",
            )
        elif why is Lack.BESIDE_FLOATING_IP:
            yield Refusal(Name.FORWARDING_BESIDE_FLOATING_IP, one.id, _tell_beside(scene, one))
        elif why is Lack.COLLIDES:
            yield Refusal(
                Name.FORWARDING_COLLIDES,
                one.id,
                f"{one.protocol} ports of {one.address} or {one.fixed_address} are those of port "
                f"forwarding {taken.find_holder(one)}",
            )
        elif why is Lack.TOO_MANY:
            yield Refusal(
                Name.FORWARDING_TOO_MANY,
                one.id,
                f"router {scene.router.id} would forward more than {MOST_FORWARDED} ports: a range "
                "counts as many as it has",
            )


def _tell_beside(scene: Scene, one: Forwarding) -> str:
    if any(floating.id == one.floating_ip_id for floating in scene.floating_ips):
        return (
            f"floating IP {one.address} is associated with a port, and would forward a port to "
            f"{one.fixed_address} beside that: one of the two is possible"
        )
    return (
        f"{one.fixed_address} has a floating IP, which takes the replies of a port that "
        f"{one.address} forwards to it: one of the two is possible"
    )


def _is_reached(scene: Scene, floating: FloatingIp | Forwarding) -> bool:
    return any(
        floating.fixed_address in subnet.cidr and floating.home in subnet.sites
        for subnet in scene.subnets
    )


def _about_other_way(scene: Scene, floating: FloatingIp) -> Iterator[Refusal]:
    """Refuse the later one, by id, of two floating IPs by whose sites replies cannot both leave."""
    for other in scene.floating_ips:
        if other.id >= floating.id or other.fixed_address != floating.fixed_address:
            continue
        sites = scene.find_nat_site(floating), scene.find_nat_site(other)
        if sites[0] != sites[1] and not any(isinstance(one, Lack) for one in sites):
            yield Refusal(
                Name.FLOATING_IP_OTHER_WAY,
                floating.id,
                f"{floating.fixed_address} has floating IP {other.address} at site {sites[1]}, by "
                f"which its replies leave: {floating.address} at site {sites[0]} would never be "
                "answered; use another fixed address of the port",
            )
            return


def _overlap(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.overlaps(other)
