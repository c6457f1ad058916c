"""Forgetting a whole site."""

import sqlalchemy as sa

from isthmus.model.site import SiteName
from isthmus.store import datapath, lanes
from isthmus.store.tables import (
    DATAPATHS,
    HYPERVISORS,
    JOURNAL,
    LEASES,
    LOCATIONS,
    REFUSALS,
    ROUTINGS,
)


def list_shadowed(connection: sa.Connection, site: SiteName) -> dict[str, set[SiteName]]:
    """List the ports that live at a site and the other sites that hold shadows of them."""
    query = sa.select(LOCATIONS.c.port_id, ROUTINGS.c.site).join_from(
        LOCATIONS, ROUTINGS, ROUTINGS.c.resource_id == LOCATIONS.c.network_id
    )
    query = query.where(
        LOCATIONS.c.site == site, ROUTINGS.c.type == "network", ROUTINGS.c.site != site
    )
    found: dict[str, set[SiteName]] = {}
    for port_id, other in connection.execute(query):
        found.setdefault(port_id, set()).add(SiteName(other))
    return found


def forget_site(connection: sa.Connection, site: SiteName) -> None:
    """Remove every row that speaks of a site, but not the site's own."""
    for table in (LEASES, ROUTINGS, LOCATIONS, REFUSALS, HYPERVISORS):
        connection.execute(sa.delete(table).where(table.c.site == site))
    connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.lane == site))
    lanes.forget(connection, site)
    present = sa.select(ROUTINGS.c.resource_id).where(ROUTINGS.c.type == "network")
    for network_id in connection.execute(
        sa.select(DATAPATHS.c.network_id).where(DATAPATHS.c.network_id.not_in(present))
    ).scalars():
        datapath.delete(connection, network_id)
