"""What central forgets: of objects that a site acknowledged to be gone, and of a whole site.

Site mappings and leases outlive their object until then, because a site that is cut off continues
to use its copy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal, refusal, renewal
from isthmus.store.delivery import lane as lane_store
from isthmus.store.leases import lease, pool, recall, resting
from isthmus.store.ports import datapath, gateway, home, hypervisor, location, transit
from isthmus.store.sql.neutron_tables import OBJECTS, SUBPORTS
from isthmus.store.sql.tables import DATAPATHS, LEASES, SITE_MAPPINGS, SITES
from isthmus.store.tiers import exit_notice, mapping, named_port, parts, registration
from isthmus.store.tiers.locked import LockedObjects

#: Ids in one IN (...).
_CHUNK = 500

#: Types that other objects at a site depend on.
_IN_THE_WAY = frozenset(
    {
        ResourceType.PORT,
        ResourceType.TRUNK,  # its ports
        ResourceType.ROUTER,  # its interfaces are on subnets
        ResourceType.SUBNET,
        ResourceType.NETWORK,
        ResourceType.SECURITY_GROUP,  # its rules refer to groups and address groups
    }
)

#: Types whose objects bring others along, in the order in which a transaction that maps several
#: of them locks them.
_FIRST = (
    ResourceType.PORT,
    ResourceType.TRUNK,
    ResourceType.ROUTER,
    ResourceType.NETWORK,
    ResourceType.SECURITY_GROUP,
)
#: The types whose objects have rows of Neutron's, in that order: what only comes along is last.
_HELD = (*_FIRST, *(kind for kind in OBJECTS if kind not in _FIRST))


def lock_objects(connection: sa.Connection, keys: Iterable[IntentKey]) -> None:
    """Lock the rows of objects that `forget_objects` is about to forget, those that still exist.

    Call it before their intents are settled. A transaction that extends one of them locks the
    object, then its site mapping, then its intents; this one takes them in the same order.
    """
    ids: dict[ResourceType, set[str]] = {}
    for key in keys:
        ids.setdefault(key.type, set()).add(key.id)
    for kind in _HELD:
        if kind in ids:
            LockedObjects(connection, kind, ids[kind], alone=True)


def forget_objects(connection: sa.Connection, keys: Sequence[IntentKey]) -> None:
    """Delete what is kept of objects whose deletion was acknowledged; in the settling transaction.

    What the site refused to remove because one of them was in use is retried. See `lock_objects`.
    """
    for key in keys:
        if key.type is ResourceType.PORT:
            home.delete(connection, key.id, key.lane)
            named_port.end(connection, key.id, key.lane)
            exit_notice.tell_of_ports(connection, [key.id])  # of one that moves; else it has none
            _tell_of_subport(connection, key.id)
            refusal.delete(connection, key.lane, key.id)  # nothing of it is left to accept
        elif key.type is not ResourceType.SHADOW:
            mapping.delete(connection, key.type, key.id, key.lane)
        if key.type is ResourceType.LEASE:  # deleted before the recall was delivered
            recall.forget(connection, [key.id])
        if key.type is ResourceType.SUBNET:
            lease.delete_held(connection, PoolKind.SUBNET, key.id, key.lane)
        if key.type is ResourceType.NETWORK:
            lease.delete_held(connection, PoolKind.PORT_KEY, key.id, key.lane)
            _free_keys(connection, key.id)
        if key.type is ResourceType.ROUTER:
            transit.free_unless_mapped(connection, key.id)
            gateway.delete(connection, key.id, key.lane)
    for lane in {key.lane for key in keys if key.type in _IN_THE_WAY}:
        job_store.retry_in_use(connection, lane)


def _tell_of_subport(connection: sa.Connection, port_id: str) -> None:
    """Tell the site of the trunk that a released port is in: it may come there now.

    By plain reads: a trunk that is changed meanwhile is delivered anyway, and one that lacks a
    subport is tried again.
    """
    of = sa.select(SUBPORTS.c.trunk_id).where(SUBPORTS.c.port_id == port_id)
    for trunk_id in connection.scalars(of).all():
        sites = mapping.peek_sites(connection, ResourceType.TRUNK, [trunk_id]).get(trunk_id, {})
        keys = [IntentKey(site, ResourceType.TRUNK, trunk_id) for site in sites]
        journal.record(connection, keys)


def _free_keys(connection: sa.Connection, network_id: str) -> None:
    """Free the keys of a network if it is at no site any more.

    A transaction that extends a network locks its row alone, sees that it has a key and adds the
    site mapping. So this waits for it, and reads its work.
    """
    network = LockedObjects(connection, ResourceType.NETWORK, [network_id], alone=True)
    if not network.sites(network_id):
        datapath.delete(connection, network_id)
        pool.delete(connection, PoolKind.PORT_KEY, network_id)
    if network_id not in network.owners:  # otherwise it may be extended again before all sites know
        resting.delete_pool(connection, network_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What a site holds, as a person is shown it before the site is deleted."""

    leases: int
    addresses: int  #: in its leases
    port_keys: int  #: in its leases
    ports: int  #: whose home it is
    networks: int  #: present there
    networks_only_here: int  #: those of them that are at no other site


def count_holds(connection: sa.Connection, site: SiteName, *, latest: bool = False) -> Holds:
    """Count what a site holds, from plain reads.

    Args:
        connection: of the transaction.
        site: the site.
        latest: as currently committed, by locking reads; behind a lock of the site (`lock_site`).
    """

    def read(query: Any) -> Sequence[Any]:
        return connection.execute(query.with_for_update(read=True) if latest else query).all()

    there = sa.select(SITE_MAPPINGS.c.resource_id).where(SITE_MAPPINGS.c.site == site)
    kind = SITE_MAPPINGS.c.type
    networks = [row.resource_id for row in read(there.where(kind == ResourceType.NETWORK.value))]
    elsewhere: set[str] = set()
    for start in range(0, len(networks), _CHUNK):
        # Not in a subquery: a locking read does not reach into one on MariaDB.
        query = sa.select(SITE_MAPPINGS.c.resource_id).where(
            kind == ResourceType.NETWORK.value,
            SITE_MAPPINGS.c.resource_id.in_(networks[start : start + _CHUNK]),
            SITE_MAPPINGS.c.site != site,
        )
        elsewhere |= {row.resource_id for row in read(query)}
    sizes = dict.fromkeys(PoolKind, 0)
    leases = read(
        sa.select(LEASES.c.kind, LEASES.c.first, LEASES.c.last).where(LEASES.c.site == site)
    )
    for one in leases:
        sizes[PoolKind(one.kind)] += int(one.last) - int(one.first) + 1
    return Holds(
        leases=len(leases),
        addresses=sizes[PoolKind.SUBNET],
        port_keys=sizes[PoolKind.PORT_KEY],
        ports=len(read(there.where(kind == ResourceType.PORT.value))),
        networks=len(networks),
        networks_only_here=len(set(networks) - elsewhere),
    )


def lock_site(connection: sa.Connection, site: SiteName) -> None:
    """Lock the rows of the routers and networks at a site, before their mappings and intents."""
    for kind in (ResourceType.ROUTER, ResourceType.NETWORK):
        there = mapping.select_ids(kind, site)
        LockedObjects(connection, kind, connection.scalars(there).all(), alone=True)


def forget_site(connection: sa.Connection, site: SiteName, *, welcome: named_port.Welcome) -> None:
    """Delete every row that refers to a site, but not the site's own; others lose its shadows.

    The numbers that it held are set aside: it may still use them. It may be the last one that
    central waits for; see `named_port.follow` for `welcome`.
    """
    lock_site(connection, site)
    journal.record_selected(connection, ResourceType.SHADOW, location.select_shadows(of=site))
    row_id = connection.scalar(sa.select(SITES.c.id).where(SITES.c.name == site))
    if row_id is not None:
        registration.set_aside(connection, site, row_id)
    registration.forget(connection, site, welcome=welcome)
    location.delete_of_site(connection, site)
    exit_notice.tell_of_site(connection, site)
    for store in (mapping, refusal, renewal, recall, hypervisor, gateway, transit, parts):
        store.delete_site(connection, site)
    journal.delete_lanes(connection, [site])
    lane_store.forget(connection, site)
    free_datapaths(connection)


def free_datapaths(connection: sa.Connection) -> None:
    """Free the datapath keys of networks and routers that are at no site, nor at a removed one."""
    routers = sa.select(SITE_MAPPINGS.c.resource_id).where(SITE_MAPPINGS.c.type == "router")
    transit.free_unmapped(connection, routers)
    present = sa.select(SITE_MAPPINGS.c.resource_id).where(
        SITE_MAPPINGS.c.type.in_(("network", "router"))
    )
    aside = sa.select(LEASES.c.pool_id).where(LEASES.c.kind == PoolKind.PORT_KEY.value)
    unused = sa.select(DATAPATHS.c.network_id).where(
        DATAPATHS.c.network_id.not_in(present), DATAPATHS.c.network_id.not_in(aside)
    )
    for network_id in sorted(connection.execute(unused).scalars().all()):
        # A transaction that extends it locks its row alone: this waits for it, and reads its work.
        if not LockedObjects(connection, ResourceType.NETWORK, [network_id], alone=True).sites(
            network_id
        ):
            datapath.delete(connection, network_id)
