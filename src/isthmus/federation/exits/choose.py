"""Which exit a site's traffic takes: its own, else the best one of another site."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from isthmus.federation.exits.seat import Seats, order
from isthmus.model.exits.request import Address, ExternalNetwork, Gateway, SiteFacts
from isthmus.model.site import SiteName, SiteState


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A gateway where it is, for one IP version."""

    site: SiteName
    gateway: Gateway
    next_hop: Address


def list_outlets(
    seats: Seats, networks: Mapping[str, ExternalNetwork], version: int
) -> dict[SiteName, Outlet]:
    """List the gateways by which packets of an IP version can leave, by their sites.

    Disabled sites are none of them, because no gateway has its seat there.
    Such a gateway has an address of the version on a subnet that has a gateway itself; of several
    the numerically first one counts, as one default route is all that a site has.
    """
    outlets = {}
    for gateway, site in seats.items():
        next_hop = _find_next_hop(gateway, networks.get(gateway.network_id), version)
        if site is not None and next_hop is not None:
            outlets[site] = Outlet(site=site, gateway=gateway, next_hop=next_hop)
    return outlets


def choose_outlet(
    site: SiteFacts, outlets: Mapping[SiteName, Outlet], sites: Mapping[SiteName, SiteFacts]
) -> Outlet | None:
    """Choose the exit of a site.

    Its own if it has one, whatever central thinks of its reachability. Else, in this order: one
    that is enabled and reachable before one that is draining, and that before one that is not
    heard; the operator's order for this site (`leaves_by`, which nothing sets yet: ADR 0063); the
    router's default gateway; the site's name. A site that is not heard is better than none, since
    only the control plane may be cut.
    """
    if site.name in outlets:
        return outlets[site.name]
    return min(outlets.values(), key=lambda one: _rank(site, one, sites[one.site]), default=None)


def rank_site(site: SiteFacts) -> int:
    """Return how good a site is to send others' traffic to; less is better."""
    if not site.is_reachable:
        return 2
    return 0 if site.state is SiteState.ENABLED else 1


def first_site(names: Iterable[SiteName], sites: Mapping[SiteName, SiteFacts]) -> SiteName | None:
    """Choose the best of several sites that serve equally; None where all are disabled."""
    usable = [
        name for name in names if name in sites and sites[name].state is not SiteState.DISABLED
    ]
    return min(usable, key=lambda name: (rank_site(sites[name]), name), default=None)


def first_ipv4(gateway: Gateway) -> IPv4Address | None:
    """Return the address by which a gateway translates sources: its numerically first one."""
    return min(
        (one for one in gateway.addresses if isinstance(one, IPv4Address)),
        default=None,
    )


def _rank(site: SiteFacts, outlet: Outlet, at: SiteFacts) -> tuple[object, ...]:
    wanted = site.leaves_by
    preference = wanted.index(outlet.site) if outlet.site in wanted else len(wanted)
    return (
        rank_site(at),
        preference,
        not outlet.gateway.is_default,
        outlet.site,
        order(outlet.gateway),
    )


def _find_next_hop(
    gateway: Gateway, network: ExternalNetwork | None, version: int
) -> Address | None:
    if network is None:
        return None
    addresses = (one for one in gateway.addresses if one.version == version)
    for address in sorted(addresses, key=int):
        for subnet in sorted(network.subnets, key=lambda one: str(one.cidr)):
            if address in subnet.cidr and subnet.gateway is not None:
                return subnet.gateway
    return None
