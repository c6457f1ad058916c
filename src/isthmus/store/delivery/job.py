"""Intents as operators see them: list, count, retry, cancel."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.intent import JobState
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery.claiming import through
from isthmus.store.sql.clock import utc_after, utc_now
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import JOURNAL, LANES, SITES

#: Counting a lane's intents stops here, so that listing all sites reads a bounded part of the
#: journal: this number means that many or more.
MOST_COUNTED = 1000
#: How far ahead an intent or the end of a claim may lie, in seconds, beyond the longest delay that
#: anybody asks for (two minutes, `isthmus.store.tiers.excess`) or the time that a claim lasts.
_MARGIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """Number and age of a lane's intents."""

    backlog: int  #: intents that are not parked; `MOST_COUNTED` means that many or more
    parked: int  #: the same of those that are
    oldest_at: datetime.datetime | None  #: when the oldest unparked intent was first recorded


def list_page(
    connection: sa.Connection,
    *,
    filters: Mapping[str, Sequence[Any]],
    page: Page,
    created_until: datetime.datetime | None = None,
) -> list[dict[str, Any]]:
    """List jobs as an API pages them; `site` is the lane.

    Args:
        connection: of the transaction.
        filters: name to accepted values.
        page: the page.
        created_until: only jobs recorded at this time or before, by the database's clock; None for
            all.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    columns = {
        "id": JOURNAL.c.id,
        "site": JOURNAL.c.lane,
        "type": JOURNAL.c.type,
        "resource_id": JOURNAL.c.resource_id,
        "state": sa.case(
            (JOURNAL.c.parked == sa.true(), JobState.PARKED.value),
            (running(), JobState.RUNNING.value),
            else_=JobState.WAITING.value,
        ),
        "generation": JOURNAL.c.generation,
        "attempts": JOURNAL.c.attempts,
        "created_at": JOURNAL.c.created_at,
        "changed_at": JOURNAL.c.changed_at,
        "not_before": JOURNAL.c.not_before,
        "last_error": JOURNAL.c.last_error,
    }
    where = [] if created_until is None else [JOURNAL.c.created_at <= created_until]
    return select_page(connection, columns, where=where, filters=filters, page=page)


def count_lanes(
    connection: sa.Connection, lanes: Collection[SiteName] | None = None
) -> dict[SiteName, LaneCounts]:
    """Count the intents of lanes, each up to `MOST_COUNTED`; lanes without any are missing.

    Args:
        connection: of the transaction.
        lanes: the lanes; None for those of all sites and of central.
    """
    known = sa.union_all(
        sa.select(SITES.c.name.label("lane")), sa.select(sa.literal(CENTRAL).label("lane"))
    ).subquery("known")
    query = sa.select(
        known.c.lane,
        _count(known.c.lane, sa.false()).label("backlog"),
        _count(known.c.lane, sa.true()).label("parked"),
        _find_oldest(known.c.lane).label("oldest_at"),
    )
    if lanes is not None:
        query = query.where(known.c.lane.in_(list(lanes)))
    return {
        SiteName(row.lane): LaneCounts(
            backlog=int(row.backlog), parked=int(row.parked), oldest_at=row.oldest_at
        )
        for row in connection.execute(query)
        if row.backlog or row.parked
    }


def _count(lane: sa.ColumnElement[str], parked: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """Count a lane's intents: exactly where there are few, otherwise up to the limit."""
    some = sa.select(sa.literal(MOST_COUNTED)).select_from(JOURNAL)
    some = some.where(JOURNAL.c.lane == lane, JOURNAL.c.parked == parked)
    all_ = some.with_only_columns(sa.func.count(JOURNAL.c.created_at))
    many = some.order_by(JOURNAL.c.created_at).offset(MOST_COUNTED - 1).limit(1)
    return sa.func.coalesce(
        through(many, "age").scalar_subquery(), through(all_, "age").scalar_subquery()
    )


def _find_oldest(lane: sa.ColumnElement[str]) -> sa.ScalarSelect[datetime.datetime]:
    oldest = (
        sa.select(JOURNAL.c.created_at)
        .where(JOURNAL.c.lane == lane, JOURNAL.c.parked == sa.false())
        .order_by(JOURNAL.c.created_at)
        .limit(1)
    )
    return through(oldest, "age").scalar_subquery()


def retry_now(connection: sa.Connection, ids: Collection[str]) -> int:
    """Make jobs due at once, including parked ones; running ones are left to their worker.

    Returns:
        How many.
    """
    return connection.execute(
        sa.update(JOURNAL)
        .where(JOURNAL.c.id.in_(list(ids)), ~running())
        .values(parked=False, attempts=0, not_before=None)
    ).rowcount


def retry_in_use(connection: sa.Connection, lane: SiteName) -> None:
    """Retry what a lane's receiver refused because something there was in use.

    One attempt each; what is still in use is parked again at once.
    """
    _retry(connection, lane, JOURNAL.c.last_error.like(f"{errors.InUse.code}:%"))


def retry_parked(connection: sa.Connection, lane: SiteName) -> None:
    """Retry everything that a lane's receiver refused, one attempt each."""
    _retry(connection, lane)


def _retry(connection: sa.Connection, lane: SiteName, *which: sa.ColumnElement[bool]) -> None:
    connection.execute(
        sa.update(JOURNAL)
        .where(JOURNAL.c.lane == lane, JOURNAL.c.parked == sa.true(), *which)
        .values(parked=False, not_before=None)  # its attempts are used up: this is one more
    )


def cancel(connection: sa.Connection, ids: Collection[str]) -> int:
    """Cancel jobs: the site keeps what it has until the object changes again or a sweep finds it.

    Returns:
        How many.
    """
    return connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.id.in_(list(ids)))).rowcount


def correct_times(connection: sa.Connection, *, claim_s: float) -> int:
    """Make due what the database's clock, before it was set back, has put too far ahead.

    Otherwise attempts would wait, and claims of dead workers keep their lanes, for as long as the
    clock was ahead. A claim of a living worker that is released too early does no harm: batches are
    numbered.

    Args:
        connection: of the transaction.
        claim_s: how long a claim lasts, in seconds.

    Returns:
        How many intents.
    """
    late = JOURNAL.c.not_before > utc_after(_MARGIN_S)
    held = sa.and_(
        JOURNAL.c.owner.is_not(None), JOURNAL.c.expires_at > utc_after(_MARGIN_S + claim_s)
    )
    # The last intent in time of each lane, and what is claimed in it: a dive into an index each.
    last = (
        sa.select(late)
        .where(JOURNAL.c.lane == LANES.c.lane, JOURNAL.c.parked == sa.false())
        .order_by(JOURNAL.c.not_before.desc())
        .limit(1)
        .correlate(LANES)
    )
    claimed = (
        sa.select(sa.true()).where(JOURNAL.c.lane == LANES.c.lane, held).limit(1).correlate(LANES)
    )
    query = sa.select(LANES.c.lane).where(
        sa.or_(
            through(last, "due").scalar_subquery(),
            through(claimed, "owner").scalar_subquery(),
        )
    )
    corrected = 0
    for lane in connection.scalars(query).all():
        for wrong, values in (
            (held, {"owner": None, "expires_at": None}),
            (sa.and_(JOURNAL.c.parked == sa.false(), late), {"not_before": None}),
        ):
            change = sa.update(JOURNAL).where(JOURNAL.c.lane == lane, wrong).values(values)
            corrected += connection.execute(change).rowcount
    return corrected


def running() -> sa.ColumnElement[bool]:
    """Return whether a worker has claimed the intent; never NULL, so that it can be negated."""
    return sa.and_(
        JOURNAL.c.owner.is_not(None),
        JOURNAL.c.expires_at.is_not(None),
        JOURNAL.c.expires_at > utc_now(),
    )
