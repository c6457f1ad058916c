"""A router among its sites, with what every part of the decision starts from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from isthmus.federation.exits import transit as addressing
from isthmus.federation.exits.choose import Outlet, choose_outlet, first_site, list_outlets
from isthmus.federation.exits.seat import Seats, plan_seats, seat_gateways
from isthmus.model.exits.plan import Lack
from isthmus.model.exits.request import (
    Address,
    ExternalNetwork,
    FloatingIp,
    Forwarding,
    InternalSubnet,
    RouterFacts,
    SiteFacts,
    Transit,
)
from isthmus.model.site import SiteName, SiteState


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is given, in a stable order, and what follows from it at once."""

    router: RouterFacts
    sites: Mapping[SiteName, SiteFacts]
    transit: Transit | None
    subnets: tuple[InternalSubnet, ...]
    floating_ips: tuple[FloatingIp, ...]
    forwardings: tuple[Forwarding, ...]
    planned: Seats  #: where gateways are while no site is disabled
    seats: Seats  #: where they are
    outlets: Mapping[int, Mapping[SiteName, Outlet]]  #: by IP version, then by site
    places: tuple[SiteName, ...]  #: where the router is, disabled sites aside
    outside: Mapping[str, tuple[IPv4Network, ...]]  #: IPv4 subnets of external networks, by id

    def list_versions(self) -> list[int]:
        """List the IP versions of the router's traffic."""
        inside: set[int] = {subnet.cidr.version for subnet in self.subnets}
        return sorted(inside or {version for version in self.outlets if self.outlets[version]})

    def find_outlet(self, site: SiteName, version: int) -> Outlet | None:
        """Find the exit of a site."""
        return choose_outlet(self.sites[site], self.outlets[version], self.sites)

    def find_host(self, subnet: InternalSubnet) -> SiteName | None:
        """Find the site by which a subnet is reached from where it is not present."""
        return first_site(subnet.sites, self.sites)

    def find_transit(self, site: SiteName, version: int) -> Address | None:
        """Find a site's transit address."""
        return addressing.find_address(self.transit, site, version)

    def find_nat_site(self, floating: FloatingIp | Forwarding) -> SiteName | Lack:
        """Find the site where a floating IP is translated, or a forwarding of one answered."""
        if not any(floating.fixed_address in subnet.cidr for subnet in self.subnets):
            return Lack.NO_SUBNET
        gateways = [one for one in self.seats if one.network_id == floating.network_id]
        if not gateways:
            return Lack.NO_GATEWAY_ON_NETWORK
        seats = sorted(seat for one in gateways if (seat := self.seats[one]) in self.places)
        return seats[0] if seats else Lack.NO_SITE


def set_scene(
    router: RouterFacts,
    networks: Iterable[ExternalNetwork],
    sites: Iterable[SiteFacts],
    transit: Transit | None,
) -> Scene:
    """Put in order what is given.

    Args:
        router: the router.
        networks: the external networks of its gateways.
        sites: all sites.
        transit: its transit network, if it has one.
    """
    by_name = {site.name: site for site in sites}
    by_id = {network.id: network for network in networks}
    seats = seat_gateways(router.gateways, by_id, by_name)
    there = {site for subnet in router.subnets for site in subnet.sites}
    there |= {seat for seat in seats.values() if seat is not None}
    return Scene(
        router=router,
        sites=by_name,
        transit=transit,
        subnets=tuple(sorted(router.subnets, key=lambda one: (str(one.cidr), one.id))),
        floating_ips=tuple(sorted(router.floating_ips, key=lambda one: one.id)),
        forwardings=tuple(sorted(router.forwardings, key=lambda one: one.id)),
        planned=plan_seats(router.gateways, by_id, by_name),
        seats=seats,
        outlets={version: list_outlets(seats, by_id, version) for version in (4, 6)},
        places=tuple(
            name
            for name in sorted(there & by_name.keys())
            if by_name[name].state is not SiteState.DISABLED
        ),
        outside={
            one.id: tuple(
                sorted(sub.cidr for sub in one.subnets if isinstance(sub.cidr, IPv4Network))
            )
            for one in by_id.values()
        },
    )
