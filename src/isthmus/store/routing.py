"""Routings: which object is, or is to be, at which site. A presence is the routing of a network."""

import datetime
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from isthmus.model.intent import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.tables import ROUTINGS

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
    """Note that objects of one type are to be at a site; one that was withdrawn comes back.

    Args:
        connection: where.
        kind: type of the objects.
        resource_ids: which.
        site: where they are to be.
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
        statement: sa.Executable
        if connection.dialect.name == "sqlite":
            statement = (
                sqlite.insert(ROUTINGS)
                .values(values)
                .on_conflict_do_update(
                    index_elements=[ROUTINGS.c.type, ROUTINGS.c.resource_id, ROUTINGS.c.site],
                    set_={"withdrawn": False},
                )
            )
        else:
            statement = (
                mysql.insert(ROUTINGS).values(values).on_duplicate_key_update(withdrawn=False)
            )
        connection.execute(statement)


def list_sites(
    connection: sa.Connection,
    kind: ResourceType,
    resource_ids: Collection[str],
    *,
    latest: bool = False,
) -> dict[str, dict[SiteName, bool]]:
    """List where objects are routed: id to site to whether it is withdrawn there.

    Args:
        connection: where.
        kind: type of the objects.
        resource_ids: which.
        latest: read what is committed now, not what was when the transaction began (MariaDB's
            snapshots; it takes shared locks). For one who has to tell every site of a change, and
            must not miss one that is being placed at the same time.
    """
    found: dict[str, dict[SiteName, bool]] = {}
    ids = sorted(set(resource_ids))
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(ROUTINGS.c.resource_id, ROUTINGS.c.site, ROUTINGS.c.withdrawn).where(
            ROUTINGS.c.type == kind.value, ROUTINGS.c.resource_id.in_(ids[start : start + _CHUNK])
        )
        if latest:
            query = query.with_for_update(read=True)
        for resource_id, site, withdrawn in connection.execute(query):
            found.setdefault(resource_id, {})[SiteName(site)] = withdrawn
    return found


def find_home(connection: sa.Connection, port_id: str) -> SiteName | None:
    """Find the home site of a port."""
    home = connection.execute(
        sa.select(ROUTINGS.c.site).where(
            ROUTINGS.c.type == ResourceType.PORT.value, ROUTINGS.c.resource_id == port_id
        )
    ).scalar()
    return None if home is None else SiteName(home)


def is_routed(
    connection: sa.Connection, kind: ResourceType, resource_id: str, site: SiteName
) -> bool:
    """Tell whether an object is, or is to be, at a site."""
    return resource_id in list_ids(connection, kind, site, [resource_id])


def list_ids(
    connection: sa.Connection, kind: ResourceType, site: SiteName, resource_ids: Collection[str]
) -> set[str]:
    """Tell which of these objects are to be at a site; withdrawn ones are not."""
    query = sa.select(ROUTINGS.c.resource_id).where(
        ROUTINGS.c.type == kind.value,
        ROUTINGS.c.site == site,
        ROUTINGS.c.withdrawn.is_(sa.false()),
        ROUTINGS.c.resource_id.in_(list(resource_ids)),
    )
    return {resource_id for (resource_id,) in connection.execute(query)}


def withdraw(
    connection: sa.Connection, kind: ResourceType, resource_ids: Collection[str], site: SiteName
) -> None:
    """Note that a site is to lose objects which still exist."""
    connection.execute(
        sa.update(ROUTINGS)
        .where(
            ROUTINGS.c.type == kind.value,
            ROUTINGS.c.site == site,
            ROUTINGS.c.resource_id.in_(list(resource_ids)),
        )
        .values(withdrawn=True)
    )


def delete(connection: sa.Connection, kind: ResourceType, resource_id: str, site: SiteName) -> None:
    """Drop one routing."""
    connection.execute(
        sa.delete(ROUTINGS).where(
            ROUTINGS.c.type == kind.value,
            ROUTINGS.c.resource_id == resource_id,
            ROUTINGS.c.site == site,
        )
    )


def count_at(connection: sa.Connection, site: SiteName) -> int:
    """Count the routings of a site."""
    query = sa.select(sa.func.count()).select_from(ROUTINGS).where(ROUTINGS.c.site == site)
    return int(connection.execute(query).scalar_one())


def present_sites(kind: ResourceType = ResourceType.NETWORK) -> sa.Select[Any]:
    """Give (resource_id, site) of every routing that is not withdrawn, for INSERT .. SELECT."""
    return sa.select(ROUTINGS.c.resource_id, ROUTINGS.c.site).where(
        ROUTINGS.c.type == kind.value, ROUTINGS.c.withdrawn.is_(sa.false())
    )
