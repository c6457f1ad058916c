"""What a site has of central's, by type, as it reports when it registers."""

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.store.sql.tables import JOURNAL, SHADOWS, SITE_MAPPINGS


def list_known(connection: sa.Connection, *, but_unreported: bool) -> dict[ResourceType, list[str]]:
    """List the ids of central's objects, of ports that central has accepted, and of shadows.

    Args:
        connection: of the transaction.
        but_unreported: leave out ports that have yet to be reported to central: a restored central
            learns them from the reports.
    """
    found: dict[ResourceType, list[str]] = {}
    query = sa.select(SITE_MAPPINGS.c.type, SITE_MAPPINGS.c.resource_id)
    for row in connection.execute(query.order_by(SITE_MAPPINGS.c.resource_id)):
        found.setdefault(ResourceType(row.type), []).append(row.resource_id)
    if but_unreported:
        waiting = sa.select(JOURNAL.c.resource_id).where(
            JOURNAL.c.lane == CENTRAL, JOURNAL.c.type == ResourceType.PORT.value
        )
        unreported = set(connection.scalars(waiting))
        ports = found.get(ResourceType.PORT, [])
        found[ResourceType.PORT] = [one for one in ports if one not in unreported]
    shadows = sa.select(SHADOWS.c.port_id).order_by(SHADOWS.c.port_id)
    found[ResourceType.SHADOW] = list(connection.scalars(shadows))
    return found
