"""What routers join: read behind locks, so that a network which is just extended is not missed.

Who joins a network to a router and who extends one to a site both lock the routers of the whole
component and their networks alone, and then look at where those are. One of them sees the other.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import external_net, l3, segment

from isthmus.federation.router_reach import Reach, RouterFacts, plan_reach
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.central.router import exit_decision, facts
from isthmus.neutron.db import interfaces
from isthmus.store.tiers import site as site_store
from isthmus.store.tiers.locked import LockedObjects

_PORTS = models_v2.Port.__table__
_JOINS = l3.RouterPort.__table__


@dataclass(frozen=True, slots=True)
class Component:
    """Networks, and the routers that are joined by them, if any; all of it locked alone."""

    routers: tuple[RouterFacts, ...]
    locked_routers: LockedObjects
    locked_networks: LockedObjects

    @property
    def present(self) -> dict[str, set[SiteName]]:
        """Return the sites of each network; those that it is withdrawn from are none."""
        return {
            one: _standing(self.locked_networks, one)
            for router in self.routers
            for one in router.network_ids
        }

    def plan(self, sites: Iterable[Site]) -> Reach:
        """Decide where all of it has to be."""
        zones = {site.name: site.availability_zones for site in sites}
        return plan_reach(self.routers, self.present, zones)

    def sites_of(self, router_id: str) -> set[SiteName]:
        """List the sites that a router is mapped to."""
        return _standing(self.locked_routers, router_id)


def lock(
    connection: sa.Connection,
    network_ids: Collection[str],
    router_ids: Collection[str] = (),
) -> Component:
    """Lock networks, and before them the routers that join them or leave by them.

    What else those routers join is locked as well. A router that joins or leaves by one of them
    later waits for this transaction, and sees what it has done.

    Args:
        connection: of the transaction that decides.
        network_ids: which networks.
        router_ids: routers that belong to it in any case, though they may have no network.
    """
    routers = _read(connection, network_ids, router_ids)
    while True:
        locked_routers = LockedObjects(connection, ResourceType.ROUTER, routers.keys(), alone=True)
        networks = {one for router in routers.values() for one in router.network_ids}
        locked_networks = LockedObjects(
            connection, ResourceType.NETWORK, networks.union(network_ids), alone=True
        )
        again = _read(connection, network_ids, router_ids)
        if again == routers:
            return Component(tuple(routers.values()), locked_routers, locked_networks)
        routers = again


def list_sites(connection: sa.Connection) -> dict[SiteName, Site]:
    """List the sites by name."""
    return {site.name: site for site in site_store.list_sites(connection)}


def describe_network(connection: sa.Connection, network_id: str) -> dict[str, Any]:
    """Read what tells where a network may be, in the words of Neutron's API."""
    network, one_segment = models_v2.Network.__table__, segment.NetworkSegment.__table__
    outside = external_net.ExternalNetwork.__table__
    row = connection.execute(
        sa.select(network.c.project_id, network.c.availability_zone_hints, outside.c.network_id)
        .join_from(network, outside, network.c.id == outside.c.network_id, isouter=True)
        .where(network.c.id == network_id)
    ).one()
    segments = connection.execute(
        sa.select(one_segment.c.network_type, one_segment.c.physical_network).where(
            one_segment.c.network_id == network_id
        )
    ).all()
    listed = [
        {
            "provider:network_type": one.network_type,
            "provider:physical_network": one.physical_network,
        }
        for one in segments
    ]
    return {
        "id": network_id,
        "project_id": row.project_id,
        "availability_zone_hints": facts.parse_hints(row.availability_zone_hints),
        "router:external": row.network_id is not None,
        **(listed[0] if len(listed) == 1 else {"segments": listed}),
    }


def _read(
    connection: sa.Connection, network_ids: Collection[str], router_ids: Collection[str]
) -> dict[str, RouterFacts]:
    """Follow routers and networks from one to the other until nothing is new."""
    networks = set(network_ids)
    routers = exit_decision.find_by_networks(connection, networks).union(router_ids)
    joins: set[tuple[str, str]] = set()
    while True:
        query = (
            sa.select(_JOINS.c.router_id, _PORTS.c.network_id)
            .join_from(_JOINS, _PORTS, _JOINS.c.port_id == _PORTS.c.id)
            .where(
                _JOINS.c.port_type == interfaces.OWNER,
                sa.or_(
                    _JOINS.c.router_id.in_(sorted(routers)),
                    _PORTS.c.network_id.in_(sorted(networks)),
                ),
            )
            .with_for_update(read=True)
        )
        found = {(row.router_id, row.network_id) for row in connection.execute(query)}
        if found <= joins:
            break
        joins |= found
        routers |= {router for router, _ in found}
        networks |= {network for _, network in found}
    hints = facts.read_hints(connection, routers)
    places = exit_decision.find_places(connection, routers)
    return {
        one: RouterFacts(
            id=one,
            network_ids=frozenset(network for router, network in joins if router == one),
            zones=frozenset(hints.get(one, ())),
            exits=places.get(one, frozenset()),
        )
        for one in sorted(routers)
    }


def _standing(locked: LockedObjects, one: str) -> set[SiteName]:
    return {site for site, withdrawn in locked.sites(one).items() if not withdrawn}
