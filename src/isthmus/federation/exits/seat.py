"""At which site each gateway of a router is.

An external network belongs to one site, or to several that share a fabric; a gateway's addresses
are at one of them at a time. A seat is chosen as if every site were there, so that it does not
depend on what fails. Only a site that the operator has disabled loses its seats: one that central
does not hear may still answer for the address, and an address is never at two places.
"""

from collections.abc import Callable, Iterable, Mapping

from isthmus.model.exits.request import ExternalNetwork, Gateway, SiteFacts
from isthmus.model.site import SiteName, SiteState

Seats = dict[Gateway, SiteName | None]


def order(gateway: Gateway) -> tuple[bool, str, list[str]]:
    """Return what gateways are ordered by: the default one first, then the network's id."""
    return (not gateway.is_default, gateway.network_id, sorted(map(str, gateway.addresses)))


def seat_gateways(
    gateways: Iterable[Gateway],
    networks: Mapping[str, ExternalNetwork],
    sites: Mapping[SiteName, SiteFacts],
) -> Seats:
    """Assign each gateway a site of its own, or None where there is none left.

    A gateway whose site is disabled moves to the first other site by name that has the network, is
    not disabled and has no gateway of the router; no other gateway moves for it.
    """
    seats = plan_seats(gateways, networks, sites)
    ordered = list(seats)
    for gateway in ordered:
        seat = seats[gateway]
        if seat is None or sites[seat].state is not SiteState.DISABLED:
            continue
        taken = set(seats.values())
        free = (
            site
            for site in _candidates(gateway, networks, sites)
            if site not in taken and sites[site].state is not SiteState.DISABLED
        )
        seats[gateway] = next(free, None)
    return seats


def plan_seats(
    gateways: Iterable[Gateway],
    networks: Mapping[str, ExternalNetwork],
    sites: Mapping[SiteName, SiteFacts],
) -> Seats:
    """Assign each gateway the seat that it has while no site is disabled."""
    return match(sorted(gateways, key=order), lambda one: _candidates(one, networks, sites))


def match(gateways: Iterable[Gateway], candidates: Callable[[Gateway], list[SiteName]]) -> Seats:
    """Assign as many gateways as possible a site of their own.

    Augmenting paths (H. W. Kuhn, The Hungarian Method, 1955, for weights of one): a gateway that
    finds its sites taken asks whoever has one to take another.
    """
    holder: dict[SiteName, Gateway] = {}

    def find(gateway: Gateway, asked: set[SiteName]) -> bool:
        for site in candidates(gateway):
            if site in asked:
                continue
            asked.add(site)
            if site not in holder or find(holder[site], asked):
                holder[site] = gateway
                return True
        return False

    listed = list(gateways)
    for gateway in listed:
        find(gateway, set())
    seats: Seats = dict.fromkeys(listed)
    seats.update({gateway: site for site, gateway in holder.items()})
    return seats


def _candidates(
    gateway: Gateway,
    networks: Mapping[str, ExternalNetwork],
    sites: Mapping[SiteName, SiteFacts],
) -> list[SiteName]:
    network = networks.get(gateway.network_id)
    return sorted(network.sites & sites.keys()) if network is not None else []
