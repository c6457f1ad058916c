"""The sites, as stored at central."""

import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.principal import Caller
from isthmus.model.site import Reachability, Site, SiteName, SiteState
from isthmus.store.delivery import told
from isthmus.store.sql import clock
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import SITES


def list_sites(connection: sa.Connection) -> list[Site]:
    """List every site, by name."""
    return [_site(row) for row in connection.execute(sa.select(SITES).order_by(SITES.c.name))]


def find_by_caller(connection: sa.Connection, caller: Caller) -> Site | None:
    """Return the site whose service user this is, or None."""
    query = sa.select(SITES).where(SITES.c.service_user.in_(caller.spellings))
    # Compared again: a database may consider upper and lower case equal.
    rows = [row for row in connection.execute(query) if caller.is_written(row.service_user)]
    return _site(rows[0]) if len(rows) == 1 else None


def find_by_name(connection: sa.Connection, name: str) -> Site | None:
    """Return a site, or None."""
    row = connection.execute(sa.select(SITES).where(SITES.c.name == name)).one_or_none()
    return None if row is None else _site(row)


def lock(connection: sa.Connection, row_id: str) -> Site:
    """Return a site, and lock its row until the transaction ends, because it is to be changed.

    Raises:
        NotFound: there is no such site.
    """
    query = sa.select(SITES).where(SITES.c.id == row_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise errors.NotFound(f"there is no site {row_id}")
    return _site(row)


def get_by_name(connection: sa.Connection, name: str) -> Site:
    """Return a site.

    Raises:
        NotFound: there is no such site.
    """
    return get_row(connection, name)[1]


def get_row(connection: sa.Connection, name: str) -> tuple[str, Site]:
    """Return the id of a site's row, and the site.

    Raises:
        NotFound: there is no such site.
    """
    row = connection.execute(sa.select(SITES).where(SITES.c.name == name)).one_or_none()
    if row is None:
        raise errors.NotFound(f"there is no site {name!r}", site=name)
    return row.id, _site(row)


def list_rows(
    connection: sa.Connection, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[dict[str, Any]]:
    """List the rows of sites with everything that central stores of them."""
    rows = select_page(connection, dict(SITES.c), filters=filters, page=page)
    for row in rows:
        row["availability_zones"] = json.loads(row["availability_zones"])
        row["tunnel_prefixes"] = json.loads(row["tunnel_prefixes"])
        row["fabrics"] = json.loads(row["fabrics"])
        row["last_error"] = row["last_error"] or ""
    return rows


def insert(connection: sa.Connection, site: Site, *, now: datetime.datetime) -> str:
    """Insert a site and return the id of its row.

    Raises:
        Exists: the name, the region or the service user belongs to another site.
    """
    _refuse_clash(connection, site, None)
    site_id = str(uuid.uuid4())
    connection.execute(
        sa.insert(SITES).values(
            id=site_id,
            name=site.name,
            region=site.region,
            availability_zones=json.dumps(site.availability_zones),
            state=site.state.value,
            service_user=site.service_user,
            tunnel_prefixes=json.dumps(site.tunnel_prefixes),
            fabrics=json.dumps(site.fabrics),
            description=site.description,
            reachability=site.reachability.value,
            created_at=now,
            updated_at=now,
        )
    )
    return site_id


def update(connection: sa.Connection, site_id: str, site: Site, *, now: datetime.datetime) -> None:
    """Update the attributes of a site that an operator may change.

    Args:
        connection: of the transaction.
        site_id: id of its row.
        site: the new attributes.
        now: the time.

    Raises:
        Exists: the region or the service user belongs to another site.
    """
    _refuse_clash(connection, site, site_id)
    connection.execute(
        sa.update(SITES)
        .where(SITES.c.id == site_id)
        .values(
            region=site.region,
            availability_zones=json.dumps(site.availability_zones),
            state=site.state.value,
            service_user=site.service_user,
            tunnel_prefixes=json.dumps(site.tunnel_prefixes),
            fabrics=json.dumps(site.fabrics),
            description=site.description,
            updated_at=now,
        )
    )


def delete(connection: sa.Connection, site_id: str) -> None:
    """Delete a site's row."""
    connection.execute(sa.delete(SITES).where(SITES.c.id == site_id))


def find_row_id(connection: sa.Connection, name: str) -> str | None:
    """Return the id of a site's row, or None."""
    return connection.execute(sa.select(SITES.c.id).where(SITES.c.name == name)).scalar()


def lock_row(connection: sa.Connection, row_id: str, *, alone: bool = False) -> bool:
    """Lock a site's row until the transaction ends, and return whether it exists.

    Args:
        connection: of the transaction.
        row_id: of the row: one that was added again under the name is another site.
        alone: exclusively, because the row is to be deleted with everything that refers to it.
    """
    query = sa.select(SITES.c.id).where(SITES.c.id == row_id)
    return connection.execute(query.with_for_update(read=not alone)).first() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When a site last answered, by the database's clock."""

    name: SiteName
    state: SiteState
    reachability: Reachability
    seen_ago_s: float | None  #: None where it never answered


def list_seen(connection: sa.Connection, *, latest: bool = False) -> list[Seen]:
    """List the reachability of every site; `latest`: by a locking read."""
    query = sa.select(SITES.c.name, SITES.c.state, SITES.c.reachability, SITES.c.last_seen_at)
    if latest:
        query = query.order_by(SITES.c.id).with_for_update(read=True)
    rows = connection.execute(query).all()
    now = clock.read(connection)
    return [
        Seen(
            name=SiteName(row.name),
            state=SiteState(row.state),
            reachability=Reachability(row.reachability),
            seen_ago_s=(now - row.last_seen_at).total_seconds() if row.last_seen_at else None,
        )
        for row in rows
    ]


def record_reachability(
    connection: sa.Connection,
    name: SiteName,
    reachability: Reachability,
    *,
    now: datetime.datetime,
    error: str = "",
) -> bool:
    """Record whether a site answered; the time is the database's (`isthmus.store.sql.clock`).

    Args:
        connection: of the transaction.
        name: the site.
        reachability: whether it answered.
        now: the time.
        error: why it did not.

    Returns:
        Whether it is heard while it was not, or no more.
    """
    before = connection.scalar(sa.select(SITES.c.reachability).where(SITES.c.name == name))
    values: dict[str, Any] = {"reachability": reachability.value, "last_error": error or None}
    if reachability is Reachability.REACHABLE:
        values["last_seen_at"] = now
    connection.execute(sa.update(SITES).where(SITES.c.name == name).values(values))
    if before not in (None, reachability):
        told.record_reachability(connection, name, reachability, error)
    return Reachability.UNREACHABLE in {before, reachability} and before != reachability


def _refuse_clash(connection: sa.Connection, site: Site, own_id: str | None) -> None:
    for column, value in (
        (SITES.c.name, site.name),
        (SITES.c.region, site.region),
        (SITES.c.service_user, site.service_user),
    ):
        other = connection.execute(
            sa.select(SITES.c.id, SITES.c.name).where(column == value)
        ).one_or_none()
        if other is not None and other.id != own_id:
            raise errors.Exists(
                f"{column.name.replace('_', ' ')} {value!r} belongs to site {other.name!r} already"
            )


def _site(row: Any) -> Site:
    return Site(
        name=SiteName(row.name),
        region=row.region,
        availability_zones=tuple(json.loads(row.availability_zones)),
        state=SiteState(row.state),
        service_user=row.service_user,
        tunnel_prefixes=tuple(json.loads(row.tunnel_prefixes)),
        fabrics=tuple(json.loads(row.fabrics)),
        reachability=Reachability(row.reachability),
        description=row.description,
    )
