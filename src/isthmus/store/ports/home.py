"""Homes: the one site at which a port is, or is about to be.

A home is the site mapping of a port. A unique column prevents a second one, whoever would create
it; a home that is *leaving* (`withdrawn`) stays the port's home until that site has acknowledged
the release (`isthmus.store.tiers.forget`), and only then may there be another.
"""

import datetime
import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.neutron_tables import PORTS
from isthmus.store.sql.tables import SITE_MAPPINGS

_PORT = SITE_MAPPINGS.c.type == ResourceType.PORT.value


@dataclass(frozen=True, slots=True)
class Home:
    """The home of a port."""

    site: SiteName
    leaving: bool  #: that site has to release it


def lock(connection: sa.Connection, port_id: str) -> Home | None:
    """Return the home of a port and lock it until the transaction ends."""
    row = connection.execute(
        sa.select(SITE_MAPPINGS.c.site, SITE_MAPPINGS.c.withdrawn)
        .where(_PORT, SITE_MAPPINGS.c.resource_id == port_id)
        .with_for_update()
    ).one_or_none()
    return None if row is None else Home(SiteName(row.site), bool(row.withdrawn))


def lock_at(connection: sa.Connection, network_id: str, site: SiteName) -> list[str]:
    """List the ports of a network at home at a site, and lock both.

    The caller has locked the network, so that none is added meanwhile.
    """
    query = (
        sa.select(PORTS.c.id)
        .select_from(SITE_MAPPINGS)
        .join(PORTS, PORTS.c.id == SITE_MAPPINGS.c.resource_id)
        .where(_PORT, SITE_MAPPINGS.c.site == site, PORTS.c.network_id == network_id)
        .with_for_update(read=True)
    )
    return list(connection.scalars(query))


def peek_at(connection: sa.Connection, site: SiteName) -> list[str]:
    """List the ports at home at a site, by a plain read."""
    query = sa.select(SITE_MAPPINGS.c.resource_id).where(_PORT, SITE_MAPPINGS.c.site == site)
    return list(connection.scalars(query))


def assign(
    connection: sa.Connection,
    port_id: str,
    site: SiteName,
    *,
    project_id: str | None,
    now: datetime.datetime,
    stale: bool = False,
) -> None:
    """Set the home of a port that has none; the caller holds its lock exclusively.

    Args:
        connection: of the transaction.
        port_id: the port.
        site: the home.
        project_id: the port's owner.
        now: the time.
        stale: whether the home has a newer state of it than central.

    Raises:
        IntegrityError: it has one.
    """
    connection.execute(
        sa.insert(SITE_MAPPINGS).values(
            type=ResourceType.PORT.value,
            resource_id=port_id,
            site=site,
            id=str(uuid.uuid4()),
            project_id=project_id,
            withdrawn=False,
            stale=stale,
            home_of=port_id,
            created_at=now,
        )
    )


def set_base(
    connection: sa.Connection, port_id: str, site: SiteName, base: Mapping[str, Any]
) -> None:
    """Store what central made of a port's first report.

    It counts until the site says itself what it takes for agreed on, and is deleted when the home
    changes or central is restored.

    Args:
        connection: of the transaction.
        port_id: the port.
        site: its home.
        base: what both tiers then agree on.
    """
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(_PORT, SITE_MAPPINGS.c.resource_id == port_id, SITE_MAPPINGS.c.site == site)
        .values(base=json.dumps(base, sort_keys=True))
    )


def find_bases(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Read what central has made of ports' first reports."""
    query = sa.select(SITE_MAPPINGS.c.resource_id, SITE_MAPPINGS.c.base).where(
        _PORT, SITE_MAPPINGS.c.resource_id.in_(list(port_ids)), SITE_MAPPINGS.c.base.is_not(None)
    )
    return {row.resource_id: json.loads(row.base) for row in connection.execute(query)}


def set_leaving(connection: sa.Connection, port_id: str, *, leaving: bool) -> None:
    """Record that the home of a port is to release it, or keeps it."""
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(_PORT, SITE_MAPPINGS.c.resource_id == port_id)
        .values(withdrawn=leaving)
    )


def find_stale(connection: sa.Connection, port_ids: Collection[str]) -> set[str]:
    """Return which ports are stale: not reported by their homes since central was restored."""
    query = sa.select(SITE_MAPPINGS.c.resource_id).where(
        _PORT, SITE_MAPPINGS.c.resource_id.in_(list(port_ids)), SITE_MAPPINGS.c.stale.is_(sa.true())
    )
    return set(connection.scalars(query))


def begin_stale(connection: sa.Connection, sites: "sa.Select[tuple[str]]") -> None:
    """Mark all ports as stale: central's database was restored, and their homes know better.

    What central made of a first report is deleted: the site has received it long ago.
    """
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(_PORT, SITE_MAPPINGS.c.site.in_(sites))
        .values(stale=True, base=None)
    )


def keep_restored(connection: sa.Connection, port_id: str, restored: Mapping[str, Any]) -> None:
    """Store how a stale port was restored, before central changes it.

    What is changed at central from then on counts as newer than the restore. Only the first change
    after the restore still finds the port as it was.
    """
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(
            _PORT,
            SITE_MAPPINGS.c.resource_id == port_id,
            SITE_MAPPINGS.c.stale.is_(sa.true()),
            SITE_MAPPINGS.c.base.is_(None),
        )
        .values(base=json.dumps(restored, sort_keys=True))
    )


def correct_restored(connection: sa.Connection, port_id: str, values: Mapping[str, Any]) -> None:
    """Apply a correction of a port to its stored restored state, if there is one."""
    base = find_bases(connection, [port_id]).get(port_id)
    if base is not None and find_stale(connection, [port_id]):
        connection.execute(
            sa.update(SITE_MAPPINGS)
            .where(_PORT, SITE_MAPPINGS.c.resource_id == port_id)
            .values(base=json.dumps({**base, **values}, sort_keys=True))
        )


def end_stale(connection: sa.Connection, port_id: str) -> bool:
    """Record that a port's home has reported it since the restore; return whether that is news."""
    reported = (
        sa.update(SITE_MAPPINGS)
        .where(_PORT, SITE_MAPPINGS.c.resource_id == port_id, SITE_MAPPINGS.c.stale.is_(sa.true()))
        .values(stale=False, base=None)
    )
    return bool(connection.execute(reported).rowcount)


def change(connection: sa.Connection, port_id: str, site: SiteName) -> None:
    """Replace the home of a port; the caller holds its lock exclusively."""
    connection.execute(
        sa.update(SITE_MAPPINGS)
        .where(_PORT, SITE_MAPPINGS.c.resource_id == port_id)
        .values(site=site, withdrawn=False, base=None)
    )


def change_all(connection: sa.Connection, old: SiteName, new: SiteName) -> None:
    """Replace the home of every port that is at home at a site."""
    connection.execute(
        sa.update(SITE_MAPPINGS).where(_PORT, SITE_MAPPINGS.c.site == old).values(site=new)
    )


def delete(connection: sa.Connection, port_id: str, site: SiteName) -> None:
    """Delete the home of a port, if it is this site."""
    connection.execute(
        sa.delete(SITE_MAPPINGS).where(
            _PORT, SITE_MAPPINGS.c.resource_id == port_id, SITE_MAPPINGS.c.site == site
        )
    )
