"""What a site should hold, and what it holds, sorted by id: for comparison page by page."""

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.ports import location
from isthmus.store.sql.tables import LOCATIONS, SHADOWS, SITE_MAPPINGS


def list_wanted(
    connection: sa.Connection, site: SiteName, kind: ResourceType, after: str, limit: int
) -> list[str]:
    """List the objects of a type that central has, or had, at a site, sorted by id.

    Args:
        connection: of the transaction, in central's database.
        site: the site.
        kind: type of the objects.
        after: only ids above this.
        limit: how many at most.
    """
    if kind is ResourceType.SHADOW:
        column = LOCATIONS.c.port_id
        query = location.select_shadows(at=site).with_only_columns(column)
    else:
        column = SITE_MAPPINGS.c.resource_id
        query = sa.select(column).where(
            SITE_MAPPINGS.c.type == kind.value, SITE_MAPPINGS.c.site == site
        )
    return list(connection.scalars(query.where(column > after).order_by(column).limit(limit)))


def list_held(connection: sa.Connection, kind: ResourceType, after: str, until: str) -> list[str]:
    """List the objects of a type that a site holds for central, sorted by id.

    Args:
        connection: of the transaction, in the site's database.
        kind: type of the objects.
        after: only ids above this.
        until: only ids up to this; empty for all.
    """
    if kind is ResourceType.SHADOW:
        column = SHADOWS.c.port_id
        query = sa.select(column)
    else:
        column = SITE_MAPPINGS.c.resource_id
        query = sa.select(column).where(SITE_MAPPINGS.c.type == kind.value)
    query = query.where(column > after)
    if until:
        query = query.where(column <= until)
    return list(connection.scalars(query.order_by(column)))
