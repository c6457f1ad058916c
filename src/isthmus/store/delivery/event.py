"""Events: what happened to sites, and to what central knows of objects there.

A row is recorded in the transaction of what it tells of, so either both commit or neither does. The
table is bounded in age and, for each site, in number: one that is noisy, or hostile, pushes out
nothing but its own.
"""

import datetime
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.form import name_near
from isthmus.model.intent import Event, What
from isthmus.store.sql.clock import is_older, utc_after, utc_now
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import EVENTS

#: Limit of the details, in characters.
_MOST_DETAILS = 2000
_MOST_WHO = 255
#: Rows in one statement that deletes.
_CHUNK = 500


def record(connection: sa.Connection, event: Event) -> None:
    """Record an event."""
    connection.execute(
        sa.insert(EVENTS).values(
            id=str(uuid.uuid4()),
            created_at=utc_now(),
            what=event.what.value,
            site=event.site,
            type=event.type,
            resource_id=event.resource_id,
            who=event.who[:_MOST_WHO],
            details=event.details[:_MOST_DETAILS],
        )
    )


def record_news(connection: sa.Connection, event: Event) -> None:
    """Record an event unless the newest one of that object at that site tells the same."""
    last = _find_last(connection, event.site, event.resource_id)
    if last is None or (last.what, last.details) != (event.what, event.details[:_MOST_DETAILS]):
        record(connection, event)


def record_end(connection: sa.Connection, event: Event, *, of: Collection[What]) -> None:
    """Record the end of something, where the newest event of that object tells of it.

    Args:
        connection: of the transaction.
        event: that it has ended.
        of: what may have ended.
    """
    last = _find_last(connection, event.site, event.resource_id)
    if last is not None and last.what in set(of):
        record(connection, event)


def _find_last(connection: sa.Connection, site: str, resource_id: str) -> Any:
    query = (
        sa.select(EVENTS.c.what, EVENTS.c.details)
        .where(EVENTS.c.resource_id == resource_id, EVENTS.c.site == site)
        .order_by(EVENTS.c.number.desc())
        .limit(1)
    )
    return connection.execute(query).first()


def list_page(
    connection: sa.Connection,
    *,
    filters: Mapping[str, Sequence[Any]],
    page: Page,
    since: datetime.datetime | float | None = None,
    until: datetime.datetime | float | None = None,
) -> list[dict[str, Any]]:
    """List events as an API pages them.

    Args:
        connection: of the transaction.
        filters: name to accepted values; `what` takes the part before the dot as well.
        page: the page.
        since: only those of that time or later, UTC and naive, or so many seconds ago; None for
            all.
        until: only those of that time or before.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    wanted = dict(filters)
    where: list[sa.ColumnElement[bool]] = []
    whats = wanted.pop("what", None)
    if whats:
        where.append(EVENTS.c.what.in_([one.value for one in _spell_out(whats)]))
    if since is not None:
        where.append(EVENTS.c.created_at >= _moment(since))
    if until is not None:
        where.append(EVENTS.c.created_at <= _moment(until))
    return select_page(connection, dict(EVENTS.c), where=where, filters=wanted, page=page)


def _moment(when: datetime.datetime | float) -> sa.ColumnElement[datetime.datetime]:
    return utc_after(-when) if isinstance(when, int | float) else sa.literal(when, sa.DateTime())


def _spell_out(words: Sequence[str]) -> list[What]:
    """Return what is meant by words such as `job` and `job.parked`.

    Raises:
        Invalid: one is neither.
    """
    found = []
    for word in words:
        meant = [one for one in What if one == word or one.startswith(f"{word}.")]
        if not meant:
            near = name_near(word, [*What])
            raise errors.Invalid(f"{word!r} is nothing that events tell of{near}")
        found += meant
    return found


def drop_old(connection: sa.Connection, *, keep_s: float, most: int) -> int:
    """Delete events that are too old, and the oldest of each site that has too many.

    Found by plain reads and deleted by their numbers, so that nobody who records one waits.

    Args:
        connection: of the transaction.
        keep_s: how long one is kept, in seconds.
        most: how many of one site are kept, and of those that are of no site.

    Returns:
        How many.
    """
    numbers = set(connection.scalars(sa.select(EVENTS.c.number).where(_is_over(keep_s))))
    for site in connection.scalars(sa.select(EVENTS.c.site).distinct()).all():
        of_site = sa.select(EVENTS.c.number).where(EVENTS.c.site == site)
        newest_first = of_site.order_by(EVENTS.c.number.desc())
        last = connection.scalar(newest_first.offset(most).limit(1))
        if last is not None:
            numbers.update(connection.scalars(of_site.where(EVENTS.c.number <= last)))
    gone, dropped = sorted(numbers), 0
    for start in range(0, len(gone), _CHUNK):
        some = EVENTS.c.number.in_(gone[start : start + _CHUNK])
        # Another worker may have been faster.
        dropped += connection.execute(sa.delete(EVENTS).where(some)).rowcount
    return dropped


def _is_over(keep_s: float) -> sa.ColumnElement[bool]:
    return is_older(EVENTS.c.created_at, keep_s)
