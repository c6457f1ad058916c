"""What Xjob does, one pass at a time: what central wants of a site goes there and is settled."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer

from isthmus.model.intent import IntentKey, removal_rank
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import JOURNAL
from isthmus.store.tiers import forget, restored


def carry(
    central: CentralServer, local: LocalServer, *, but: Collection[str] = ()
) -> dict[str, str]:
    """Carry a site's whole lane once.

    Args:
        central: central.
        local: the site.
        but: types that are left for later.

    Returns:
        The error code of each object by its id, empty for what was taken.
    """
    rows = [row for row in list_due(central, local.site) if row.type not in but]
    if not rows:
        return {}
    items = central.wanted(local.site, *((row.type, row.resource_id) for row in rows))
    items.sort(
        key=lambda one: (
            removal_rank(ResourceType(one["type"]))
            if one["state"] is None
            else ResourceType(one["type"]).rank
        )
    )
    codes = local.apply(*items)
    states = {(one["type"], one["id"]): one["state"] for one in items}
    acknowledge(central, [row for row in rows if not codes[row.resource_id]], states)
    return codes


def list_due(central: CentralServer, site: str) -> Sequence[Any]:
    """List the intents of a site's lane that may be delivered now."""
    with central.database() as connection:
        which = restored.find_deliverable(connection)
        query = sa.select(JOURNAL).where(JOURNAL.c.lane == site)
        return connection.execute(query.where(JOURNAL.c.lane.not_in(which.but), *which.only)).all()


def acknowledge(
    central: CentralServer, rows: Sequence[Any], states: Mapping[tuple[str, str], Any]
) -> None:
    """Settle intents that a site has taken, unless they have changed since."""
    gone = []
    with central.database(write=True) as connection:
        for row in rows:
            settled = connection.execute(
                sa.delete(JOURNAL).where(
                    JOURNAL.c.id == row.id, JOURNAL.c.generation == row.generation
                )
            )
            if settled.rowcount and states[row.type, row.resource_id] is None:
                key = IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id)
                gone.append(key)
        forget.forget_objects(connection, gone)
