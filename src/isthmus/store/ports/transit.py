"""The transit network of each router that needs one, at central: its key, and a port key a site.

The network's key comes from the range of all networks' keys (`isthmus.store.ports.datapath`), under
the id of its router. Its only ports are those of the router's instances, one at each site: their
keys count up from one, so that the addresses that are derived from them fit in any range. What a
site once had it keeps until the router is gone from everywhere: no other site gets its key while
anybody may still know it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.dataplane.ovn import LAST_PORT_KEY
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.ports import datapath
from isthmus.store.sql.tables import TRANSIT_PORTS
from isthmus.store.tiers.locked import LockedObjects

_ROUTER = ResourceType.ROUTER


@dataclass(frozen=True, slots=True)
class Keys:
    """What is allocated for one router."""

    datapath_key: int
    port_keys: Mapping[SiteName, int]


def allocate(
    connection: sa.Connection, routers: LockedObjects, router_id: str, site: SiteName
) -> int:
    """Return the key of a site's port on a router's transit network, allocated the first time.

    Args:
        connection: of the transaction.
        routers: the router among others, locked alone.
        router_id: the router.
        site: the site.

    Raises:
        Exhausted: no key is left of the network, or for a network.
    """
    assert routers.is_alone, "who allocates locks the router alone"
    assert router_id in routers.owners, "only a router that exists has a transit network"
    datapath.ensure_key(connection, router_id)
    query = sa.select(TRANSIT_PORTS.c.site, TRANSIT_PORTS.c.port_key).where(
        TRANSIT_PORTS.c.router_id == router_id
    )
    taken = {row.site: int(row.port_key) for row in connection.execute(query.with_for_update())}
    if site in taken:
        return taken[site]
    key = max(taken.values(), default=0) + 1
    if key > LAST_PORT_KEY:
        raise errors.Exhausted(f"router {router_id} has had ports at {LAST_PORT_KEY} sites")
    connection.execute(
        sa.insert(TRANSIT_PORTS).values(router_id=router_id, site=site, port_key=key)
    )
    return key


def list_keys(
    connection: sa.Connection, router_ids: Collection[str], *, latest: bool
) -> dict[str, Keys]:
    """List what is allocated, by router; one that has no transit network is missing.

    Args:
        connection: of the transaction.
        router_ids: which routers.
        latest: by a locking read, because something is decided by it.
    """
    ports: dict[str, dict[SiteName, int]] = {}
    query = sa.select(TRANSIT_PORTS).where(TRANSIT_PORTS.c.router_id.in_(sorted(router_ids)))
    query = query.order_by(TRANSIT_PORTS.c.router_id, TRANSIT_PORTS.c.site)
    if latest:
        query = query.with_for_update(read=True)
    for row in connection.execute(query):
        ports.setdefault(row.router_id, {})[SiteName(row.site)] = int(row.port_key)
    keys = datapath.list_keys(connection, ports.keys(), latest=latest) if ports else {}
    return {one: Keys(keys[one], found) for one, found in ports.items() if one in keys}


def free_unless_mapped(connection: sa.Connection, router_id: str) -> None:
    """Free what a router has of transit keys, if it is at no site any more.

    Who maps a router to a site locks it alone. So this waits for it, and reads its work.
    """
    if not LockedObjects(connection, _ROUTER, [router_id], alone=True).sites(router_id):
        connection.execute(sa.delete(TRANSIT_PORTS).where(TRANSIT_PORTS.c.router_id == router_id))
        datapath.delete(connection, router_id)


def free_unmapped(connection: sa.Connection, mapped: "sa.Select[str]") -> None:
    """Free what routers have that are at no site.

    Args:
        connection: of the transaction.
        mapped: selects the routers that are at some.
    """
    query = sa.select(TRANSIT_PORTS.c.router_id).where(TRANSIT_PORTS.c.router_id.not_in(mapped))
    for router_id in sorted(set(connection.scalars(query))):
        free_unless_mapped(connection, router_id)


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the port keys of a site that is removed."""
    connection.execute(sa.delete(TRANSIT_PORTS).where(TRANSIT_PORTS.c.site == site))
