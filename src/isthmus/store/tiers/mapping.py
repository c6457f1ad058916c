"""Site mappings: which object is, or should be, at which site; a network's is its presence.

Transactions decide by reads through `isthmus.store.tiers.locked`; the plain reads here, called
`peek`, may be outdated, and serve answers. The home of a port is a site mapping too:
`isthmus.store.ports.home`.
"""

import datetime
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.page import Page, read_rows, select_page
from isthmus.store.sql.tables import DATAPATHS, SITE_MAPPINGS
from isthmus.store.sql.upsert import insert_or_update

#: What an API shows of a mapping.
_SHOWN = ("id", "type", "resource_id", "site", "project_id", "withdrawn", "created_at")
#: Ids in one IN (...): far below what SQLite and MariaDB take.
_CHUNK = 500


def record(
    connection: sa.Connection,
    kind: ResourceType,
    resource_ids: Iterable[str],
    site: SiteName,
    *,
    owners: Mapping[str, str | None] | None = None,
    now: datetime.datetime,
) -> None:
    """Record that objects of one type should be at a site; a withdrawn one is restored.

    Args:
        connection: of the transaction.
        kind: type of the objects.
        resource_ids: the objects.
        site: the site.
        owners: their projects, as far as they are known.
        now: the time.
    """
    owners = owners or {}
    rows = [
        {
            "type": kind.value,
            "resource_id": resource_id,
            "site": site,
            "id": str(uuid.uuid4()),
            "project_id": owners.get(resource_id),
            "withdrawn": False,
            "created_at": now,
        }
        for resource_id in sorted(set(resource_ids))
    ]
    for start in range(0, len(rows), _CHUNK):
        values = rows[start : start + _CHUNK]
        insert = insert_or_update(connection, SITE_MAPPINGS, lambda _new: {"withdrawn": False})
        connection.execute(insert.values(values))


def peek_sites(
    connection: sa.Connection, kind: ResourceType, resource_ids: Collection[str]
) -> dict[str, dict[SiteName, bool]]:
    """List where objects are mapped, by a plain read, for an answer that is only shown.

    A transaction that decides by it takes `isthmus.store.tiers.locked.LockedObjects` instead.

    Returns:
        Id to site to whether it is withdrawn there.
    """
    found: dict[str, dict[SiteName, bool]] = {}
    ids = sorted(set(resource_ids))
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(
            SITE_MAPPINGS.c.resource_id, SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.withdrawn
        ).where(
            SITE_MAPPINGS.c.type == kind.value,
            SITE_MAPPINGS.c.resource_id.in_(ids[start : start + _CHUNK]),
        )
        for resource_id, site, withdrawn in connection.execute(query):
            found.setdefault(resource_id, {})[SiteName(site)] = bool(withdrawn)
    return found


def peek_ids(
    connection: sa.Connection, kind: ResourceType, site: SiteName, resource_ids: Collection[str]
) -> set[str]:
    """Return which of these objects should be at a site, by a plain read; withdrawn ones are not.

    For answers that are only shown, as `peek_sites`.

    Args:
        connection: of the transaction.
        kind: type of the objects.
        site: the site.
        resource_ids: the objects.
    """
    found: set[str] = set()
    ids = sorted(set(resource_ids))
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(SITE_MAPPINGS.c.resource_id).where(
            SITE_MAPPINGS.c.type == kind.value,
            SITE_MAPPINGS.c.site == site,
            SITE_MAPPINGS.c.withdrawn.is_(sa.false()),
            SITE_MAPPINGS.c.resource_id.in_(ids[start : start + _CHUNK]),
        )
        found |= set(connection.scalars(query))
    return found


def list_sites(
    connection: sa.Connection,
    kind: ResourceType,
    resource_ids: Collection[str],
) -> dict[str, dict[SiteName, bool]]:
    """List where objects are mapped: id to site to whether it is withdrawn there.

    A locking read; a transaction that must also see a site to which a network is being extended
    has locked the objects (`isthmus.store.tiers.locked`), because only their own row can ensure
    that.
    """
    found: dict[str, dict[SiteName, bool]] = {}
    ids = sorted(set(resource_ids))
    for start in range(0, len(ids), _CHUNK):
        query = (
            sa.select(SITE_MAPPINGS.c.resource_id, SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.withdrawn)
            .where(
                SITE_MAPPINGS.c.type == kind.value,
                SITE_MAPPINGS.c.resource_id.in_(ids[start : start + _CHUNK]),
            )
            .order_by(SITE_MAPPINGS.c.resource_id, SITE_MAPPINGS.c.site)
            .with_for_update(read=True)
        )
        for resource_id, site, withdrawn in connection.execute(query):
            found.setdefault(resource_id, {})[SiteName(site)] = bool(withdrawn)
    return found


def find_home(connection: sa.Connection, port_id: str) -> SiteName | None:
    """Return the home site of a port, or None (a locking read)."""
    return next(iter(list_sites(connection, ResourceType.PORT, [port_id]).get(port_id, {})), None)


def withdraw(
    connection: sa.Connection, kind: ResourceType, resource_ids: Collection[str], site: SiteName
) -> None:
    """Record that a site should not have objects, which still exist.

    Args:
        connection: of the transaction.
        kind: type of the objects.
        resource_ids: the objects.
        site: the site.
    """
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(
            SITE_MAPPINGS.c.type == kind.value,
            SITE_MAPPINGS.c.site == site,
            SITE_MAPPINGS.c.resource_id.in_(list(resource_ids)),
        )
        .values(withdrawn=True)
    )


def delete(connection: sa.Connection, kind: ResourceType, resource_id: str, site: SiteName) -> None:
    """Delete one site mapping.

    Args:
        connection: of the transaction.
        kind: type of the object.
        resource_id: the object.
        site: the site.
    """
    connection.execute(
        sa.delete(SITE_MAPPINGS).where(
            SITE_MAPPINGS.c.type == kind.value,
            SITE_MAPPINGS.c.resource_id == resource_id,
            SITE_MAPPINGS.c.site == site,
        )
    )


def delete_site(connection: sa.Connection, site: str) -> None:
    """Delete every site mapping of a site."""
    connection.execute(sa.delete(SITE_MAPPINGS).where(SITE_MAPPINGS.c.site == site))


def count_at(connection: sa.Connection, site: SiteName) -> int:
    """Count the site mappings of a site."""
    query = (
        sa.select(sa.func.count()).select_from(SITE_MAPPINGS).where(SITE_MAPPINGS.c.site == site)
    )
    return int(connection.execute(query).scalar_one())


def select_ids(
    kind: ResourceType, site: SiteName | None = None, *, withdrawn: bool = True
) -> "sa.Select[str]":
    """Select the objects of a type that are mapped, for the IN of a statement of Neutron's.

    A plain read.

    Args:
        kind: their type.
        site: the site; None for any, which at a site is everything that is central's.
        withdrawn: include those that are withdrawn; a port's home is while it is to move.
    """
    query = sa.select(SITE_MAPPINGS.c.resource_id).where(SITE_MAPPINGS.c.type == kind.value)
    if not withdrawn:
        query = query.where(SITE_MAPPINGS.c.withdrawn.is_(sa.false()))
    return query if site is None else query.where(SITE_MAPPINGS.c.site == site)


def list_rows(
    connection: sa.Connection, resource_ids: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """List the mappings of objects as the holdings show them; None means all."""
    shown = [column for column in SITE_MAPPINGS.c if column.name not in {"base", "complete"}]
    query = sa.select(*shown)
    if resource_ids is not None:
        query = query.where(SITE_MAPPINGS.c.resource_id.in_(list(resource_ids)))
    return read_rows(connection, query)


def list_page(
    connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[dict[str, Any]]:
    """List mappings as an API pages them.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    columns = {name: SITE_MAPPINGS.c[name] for name in _SHOWN}
    return select_page(connection, columns, filters=filters, page=page)


def list_presences(
    connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[dict[str, Any]]:
    """List the mappings of networks, with their datapath keys, as an API pages them.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    key = sa.select(DATAPATHS.c.datapath_key).where(
        DATAPATHS.c.network_id == SITE_MAPPINGS.c.resource_id
    )
    columns = {
        "id": SITE_MAPPINGS.c.id,
        "network_id": SITE_MAPPINGS.c.resource_id,
        "site": SITE_MAPPINGS.c.site,
        "withdrawn": SITE_MAPPINGS.c.withdrawn,
        "datapath_key": key.scalar_subquery(),
        "created_at": SITE_MAPPINGS.c.created_at,
    }
    where = [SITE_MAPPINGS.c.type == ResourceType.NETWORK.value]
    return select_page(connection, columns, where=where, filters=filters, page=page)
