"""What Xjob does, one pass at a time: what central wants of a site goes there and is settled."""

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer

from isthmus.model.intent import IntentKey, removal_rank
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import JOURNAL
from isthmus.store.tiers import forget, restored


def carry(central: CentralServer, local: LocalServer) -> dict[str, str]:
    """Carry a site's whole lane once.

    Returns:
        The error code of each object by its id, empty for what was taken.
    """
    with central.database() as connection:
        which = restored.find_deliverable(connection)
        query = sa.select(JOURNAL).where(JOURNAL.c.lane == local.site)
        query = query.where(JOURNAL.c.lane.not_in(which.but), *which.only)
        rows = connection.execute(query).all()
    if not rows:
        return {}
    items = central.wanted(local.site, *((row.type, row.resource_id) for row in rows))
    states = {(one["type"], one["id"]): one["state"] for one in items}
    items.sort(
        key=lambda one: (
            removal_rank(ResourceType(one["type"]))
            if one["state"] is None
            else ResourceType(one["type"]).rank
        )
    )
    codes = local.apply(*items)
    done = [row for row in rows if not codes[row.resource_id]]
    gone = [
        IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id)
        for row in done
        if states[row.type, row.resource_id] is None
    ]
    with central.database(write=True) as connection:
        for row in done:
            connection.execute(
                sa.delete(JOURNAL).where(
                    JOURNAL.c.id == row.id, JOURNAL.c.generation == row.generation
                )
            )
        forget.forget_objects(connection, gone)
    return codes
