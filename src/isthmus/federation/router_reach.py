"""Where routers are, and where the networks that they join have to be. Pure.

A router answers at home in every site (anycast gateway), and a packet leaves it on the network of
its destination. So the site of the sender needs the switches of all networks that a router joins:
where one of them is present the others have to be, and so on over all routers.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from isthmus.model.site import SiteName


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterFacts:
    """A router and the networks that it has interfaces on."""

    id: str
    network_ids: frozenset[str]
    zones: frozenset[str] = frozenset()  #: its availability zone hints; none means any site
    exits: frozenset[SiteName] = frozenset()  #: where its gateways are


@dataclass(frozen=True, slots=True)
class Reach:
    """Where routers are to be, and which networks are missing there."""

    routers: Mapping[str, frozenset[SiteName]]
    missing: tuple[tuple[str, SiteName], ...]  #: networks and the sites that they have to go to


def plan_reach(
    routers: Collection[RouterFacts],
    present: Mapping[str, Collection[SiteName]],
    zones: Mapping[SiteName, Collection[str]],
) -> Reach:
    """Decide where routers are and where their networks have to be.

    A router is at every site where one of its networks is present and that serves its hints. All
    its networks have to be there. A router with hints does not carry a network to any other site:
    one for a single site is a local router, whatever other sites its networks are present at.

    Where a gateway is the router is as well, and none of its networks has to be there because of
    it: what is not present there is reached over the router's transit network.

    Args:
        routers: all that are joined with each other.
        present: the sites of each network.
        zones: the availability zones that each site serves.
    """
    wanted = {one: set(sites) for one, sites in present.items()}
    changed = True
    while changed:
        changed = False
        for router in routers:
            sites = _find_sites(router, wanted, zones)
            for network_id in router.network_ids:
                there = wanted.setdefault(network_id, set())
                changed = changed or not sites <= there
                there |= sites
    return Reach(
        routers={one.id: _find_sites(one, wanted, zones) | one.exits for one in routers},
        missing=tuple(
            sorted(
                (network_id, site)
                for network_id, sites in wanted.items()
                for site in sites - set(present.get(network_id, ()))
            )
        ),
    )


def _find_sites(
    router: RouterFacts,
    present: Mapping[str, Collection[SiteName]],
    zones: Mapping[SiteName, Collection[str]],
) -> frozenset[SiteName]:
    return frozenset(
        site
        for network_id in router.network_ids
        for site in present.get(network_id, ())
        if not router.zones or not router.zones.isdisjoint(zones.get(site, ()))
    )


def find_joined_at(
    network_id: str,
    site: SiteName,
    routers: Collection[RouterFacts],
    sites: Mapping[str, Collection[SiteName]],
) -> set[str]:
    """List the networks that leave a site together with one of them, itself included.

    Args:
        network_id: the one that is to be withdrawn.
        site: from where.
        routers: all that are joined with each other.
        sites: where each router is.
    """
    here = [one.network_ids for one in routers if site in sites.get(one.id, ())]
    return _close({network_id}, here)


def _close(found: set[str], groups: Iterable[frozenset[str]]) -> set[str]:
    left = list(groups)
    while True:
        touching = [one for one in left if not one.isdisjoint(found)]
        if not touching:
            return found
        left = [one for one in left if one.isdisjoint(found)]
        found = found.union(*touching)
