"""Which hypervisor has a router's gateway at a site, at central, as the site reported it.

By it the router's instances at other sites reach the one there, in one tunnel.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import GATEWAY_HYPERVISORS


def record(
    connection: sa.Connection, router_id: str, site: SiteName, hypervisor: Hypervisor | None
) -> bool:
    """Record which hypervisor has a router's gateway at a site; return whether that is new.

    Args:
        connection: of the transaction.
        router_id: the router.
        site: the site.
        hypervisor: None where it is bound nowhere.
    """
    here = _at(router_id, site)
    query = sa.select(GATEWAY_HYPERVISORS).where(here).with_for_update()
    old = connection.execute(query).one_or_none()
    if (None if old is None else _read(old)) == hypervisor:
        return False
    connection.execute(sa.delete(GATEWAY_HYPERVISORS).where(here))
    if hypervisor is not None:
        values = {name: getattr(hypervisor, name) for name in hypervisor.__slots__}
        connection.execute(
            sa.insert(GATEWAY_HYPERVISORS).values(router_id=router_id, site=site, **values)
        )
    return True


def list_hypervisors(
    connection: sa.Connection, router_ids: Collection[str]
) -> dict[str, dict[SiteName, Hypervisor]]:
    """List by router which hypervisors have gateways, by site."""
    query = sa.select(GATEWAY_HYPERVISORS).where(
        GATEWAY_HYPERVISORS.c.router_id.in_(sorted(router_ids))
    )
    found: dict[str, dict[SiteName, Hypervisor]] = {}
    for row in connection.execute(query):
        found.setdefault(row.router_id, {})[SiteName(row.site)] = _read(row)
    return found


def keep_only(connection: sa.Connection, seats: Mapping[str, Collection[SiteName]]) -> None:
    """Forget the gateways that routers have had at other sites than they have them now.

    Args:
        connection: of the transaction.
        seats: the sites of their gateways, by router.
    """
    query = sa.select(GATEWAY_HYPERVISORS.c.router_id, GATEWAY_HYPERVISORS.c.site).where(
        GATEWAY_HYPERVISORS.c.router_id.in_(sorted(seats))
    )
    for row in connection.execute(query.with_for_update()).all() if seats else ():
        if row.site not in seats[row.router_id]:
            delete(connection, row.router_id, SiteName(row.site))


def delete(connection: sa.Connection, router_id: str, site: SiteName) -> None:
    """Forget a router's gateway at a site."""
    connection.execute(sa.delete(GATEWAY_HYPERVISORS).where(_at(router_id, site)))


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Forget the gateways at a site."""
    connection.execute(sa.delete(GATEWAY_HYPERVISORS).where(GATEWAY_HYPERVISORS.c.site == site))


def _read(row: Any) -> Hypervisor:
    return Hypervisor(chassis=row.chassis, hostname=row.hostname, encap_ip=row.encap_ip)


def _at(router_id: str, site: SiteName) -> "sa.ColumnElement[bool]":
    return sa.and_(GATEWAY_HYPERVISORS.c.router_id == router_id, GATEWAY_HYPERVISORS.c.site == site)
