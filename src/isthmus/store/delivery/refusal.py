"""Reports of sites that central refused, for operators."""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import Event, What
from isthmus.model.item import ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import event
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import REFUSALS
from isthmus.store.sql.upsert import insert_or_update

#: Limit of a reason, in characters.
_MOST_REASON = 2000
#: Limit of refusals kept of one site, so that reports of made-up ports cannot fill the database.
MOST = 10_000


def record(
    connection: sa.Connection, site: SiteName, result: ItemResult, *, now: datetime.datetime
) -> None:
    """Record why a report, or some attributes of it, was refused; the newest reason counts.

    A site that has `MOST` of them gets no further one.

    Args:
        connection: of the transaction.
        site: the reporting site.
        result: of the item.
        now: the time.
    """
    reason = f"{result.code}: {result.message}"[:_MOST_REASON]
    values = {
        "site": site,
        "resource_id": result.id,
        "id": str(uuid.uuid4()),
        "type": result.type.value,
        "attributes": ",".join(result.attributes)[:255],
        "reason": reason,
        "created_at": now,
        "changed_at": now,
    }
    rest = {name: values[name] for name in ("attributes", "reason", "changed_at")}
    statement: sa.Executable
    if _is_full(connection, site):
        statement = (
            sa.update(REFUSALS)
            .where(REFUSALS.c.site == site, REFUSALS.c.resource_id == result.id)
            .values(rest)
        )
    else:
        statement = insert_or_update(connection, REFUSALS, lambda _new: rest).values(values)
    connection.execute(statement)
    if site != CENTRAL:  # a site keeps no events
        told = _of(site, result.type.value, result.id, What.REPORT_REFUSED, reason)
        event.record_news(connection, told)


def _is_full(connection: sa.Connection, site: SiteName) -> bool:
    some = sa.select(REFUSALS.c.site).where(REFUSALS.c.site == site).limit(MOST).subquery()
    kept = connection.scalar(sa.select(sa.func.count()).select_from(some))
    return kept is not None and kept >= MOST


def is_refused(
    site: sa.ColumnElement[str], resource_id: sa.ColumnElement[str]
) -> sa.ColumnElement[bool]:
    """Return a condition on a row that names both: whether something of it is refused."""
    return sa.exists().where(REFUSALS.c.site == site, REFUSALS.c.resource_id == resource_id)


def delete(connection: sa.Connection, site: SiteName, resource_id: str) -> bool:
    """Delete a refusal: the site's report was accepted, or its object is gone.

    Returns:
        Whether there was one.
    """
    gone = connection.execute(
        sa.delete(REFUSALS).where(REFUSALS.c.site == site, REFUSALS.c.resource_id == resource_id)
    ).rowcount
    if gone and site != CENTRAL:
        told = _of(site, ResourceType.PORT.value, resource_id, What.REPORT_TAKEN)
        event.record(connection, told)
    return gone > 0


def _of(site: SiteName, kind: str, resource_id: str, what: What, details: str = "") -> Event:
    return Event(
        what=what, who=site, site=site, type=kind, resource_id=resource_id, details=details
    )


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the refusals of a site."""
    connection.execute(sa.delete(REFUSALS).where(REFUSALS.c.site == site))


def list_page(
    connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[dict[str, Any]]:
    """List refusals as an API pages them.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    return select_page(connection, dict(REFUSALS.c), filters=filters, page=page)


def select_ids(site: SiteName) -> "sa.Select[str]":
    """Select the objects with refusals, for the IN of a statement of Neutron's."""
    return sa.select(REFUSALS.c.resource_id).where(REFUSALS.c.site == site)


def count(connection: sa.Connection) -> Mapping[SiteName, int]:
    """Count the refusals of each site that has any."""
    query = sa.select(REFUSALS.c.site, sa.func.count()).group_by(REFUSALS.c.site)
    rows: Any = connection.execute(query)
    return {SiteName(site): int(number) for site, number in rows}
