"""What a site should hold, and what it holds, sorted by id: for comparison page by page."""

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.ports import location
from isthmus.store.sql.neutron_tables import OBJECTS
from isthmus.store.sql.tables import LOCATIONS, SHADOWS, SITE_MAPPINGS


def list_wanted(
    connection: sa.Connection,
    site: SiteName,
    kind: ResourceType,
    after: str,
    limit: int,
    *,
    network: str = "",
) -> list[str]:
    """List the objects of a type that central has, or had, at a site, sorted by id.

    Args:
        connection: of the transaction, in central's database.
        site: the site.
        kind: type of the objects.
        after: only ids above this.
        limit: how many at most.
        network: the only network whose objects are listed, empty for all; what is gone, and so of
            no network, is listed as well.
    """
    if kind is ResourceType.SHADOW:
        column = LOCATIONS.c.port_id
        query = location.select_shadows(at=site).with_only_columns(column)
        if network:
            query = query.where(LOCATIONS.c.network_id == network)
    else:
        column = SITE_MAPPINGS.c.resource_id
        query = sa.select(column).where(
            SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.site == site
        )
        if network:
            query = query.where(sa.or_(_is_of(kind, column, network), _is_gone(kind, column)))
    return list(connection.scalars(query.where(column > after).order_by(column).limit(limit)))


def list_held(
    connection: sa.Connection, kind: ResourceType, after: str, until: str, *, network: str = ""
) -> list[str]:
    """List the objects of a type that a site holds for central, sorted by id.

    Args:
        connection: of the transaction, in the site's database.
        kind: type of the objects.
        after: only ids above this.
        until: only ids up to this; empty for all.
        network: the only network whose objects are listed; empty for all.
    """
    if kind is ResourceType.SHADOW:
        column = SHADOWS.c.port_id
        query = sa.select(column)
        if network:
            query = query.where(SHADOWS.c.network_id == network)
    else:
        column = SITE_MAPPINGS.c.resource_id
        query = sa.select(column).where(SITE_MAPPINGS.c.type == kind.value)
        if network:
            query = query.where(_is_of(kind, column, network))
    query = query.where(column > after)
    if until:
        query = query.where(column <= until)
    return list(connection.scalars(query.order_by(column)))


def _is_of(
    kind: ResourceType, column: sa.ColumnElement[str], network: str
) -> sa.ColumnElement[bool]:
    """Return whether an object is a network or on it; no object of other types is."""
    if kind is ResourceType.NETWORK:
        return column == network
    objects = OBJECTS[kind]
    if "network_id" not in objects.c:
        return sa.false()
    return column.in_(sa.select(objects.c.id).where(objects.c.network_id == network))


def _is_gone(kind: ResourceType, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return whether nothing says any more of which network an object was."""
    if kind is ResourceType.NETWORK:
        return sa.false()
    return sa.not_(sa.exists().where(OBJECTS[kind].c.id == column))
