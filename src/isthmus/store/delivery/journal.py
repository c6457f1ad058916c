"""The journal's rows, in SQL that SQLite and MariaDB both run.

Every function takes a connection and leaves the transaction to its caller: an intent is recorded
on the connection of the very change that causes it (`session.connection()` in Neutron), so either
both commit or neither does. `SqlJournal` in `journal_engine.py` wraps them for the engine.

No function reads a row and then writes what it computed from it: each transition is one guarded
statement, so two workers, or a worker and a tenant's change, cannot undo each other. Those of
workers are in `claiming`.

Times are the database's own, and what is due at once has none, so that no clock can delay it.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql import clock
from isthmus.store.sql.clock import utc_after, utc_now
from isthmus.store.sql.fresh_uuid import fresh_uuid
from isthmus.store.sql.tables import JOURNAL
from isthmus.store.sql.upsert import New, insert_or_update

#: Ids in one IN (...).
_CHUNK = 500
_COLUMNS = (
    "id",
    "lane",
    "type",
    "resource_id",
    "rank",
    "generation",
    "attempts",
    "not_before",
    "parked",
    "created_at",
    "changed_at",
)


def record(connection: sa.Connection, keys: Iterable[IntentKey]) -> None:
    """Record that these objects may differ from what is wanted at these sites.

    One row for each key: recording it again bumps its generation, makes it due at once and unparks
    it, but leaves a running claim alone.
    """
    wanted = sorted(set(keys))  # one order for all, so that two writers cannot deadlock
    if not wanted:
        return
    now = clock.read(connection)
    rows = [
        {
            "id": str(uuid.uuid4()),
            "lane": key.lane,
            "type": key.type.value,
            "resource_id": key.id,
            "rank": key.type.rank,
            "generation": 1,
            "attempts": 0,
            "not_before": None,
            "parked": False,
            "created_at": now,
            "changed_at": now,
        }
        for key in wanted
    ]
    # The same statement for any number of rows, so that it is compiled once.
    connection.execute(insert_or_update(connection, JOURNAL, _touch), rows)


def record_selected(
    connection: sa.Connection, kind: ResourceType, selection: sa.Select[Any]
) -> None:
    """Record many objects of one type with one INSERT .. SELECT.

    Args:
        connection: of the transaction.
        kind: their type.
        selection: returns two columns, the lane and the object's id, no pair twice.
    """
    chosen = selection.subquery()
    lane, resource_id = list(chosen.c)[:2]
    source = sa.select(
        fresh_uuid(),
        lane,
        sa.literal(kind.value),
        resource_id,
        sa.literal(kind.rank),
        sa.literal(1),
        sa.literal(0),
        sa.null(),
        sa.false(),
        utc_now(),
        utc_now(),
    ).where(sa.text("1 = 1"))
    insert = insert_or_update(connection, JOURNAL, _touch)
    connection.execute(insert.from_select(_COLUMNS, source))


def delay(
    connection: sa.Connection,
    lane: SiteName,
    kind: ResourceType,
    ids: Iterable[str],
    *,
    delay_s: float,
) -> None:
    """Delay intents.

    Args:
        connection: of the transaction.
        lane: their lane.
        kind: type of their objects.
        ids: their objects.
        delay_s: seconds from now until they are due.
    """
    chosen = (JOURNAL.c.lane == lane, JOURNAL.c.type == kind.value, JOURNAL.c.resource_id.in_(ids))
    connection.execute(sa.update(JOURNAL).where(*chosen).values(not_before=utc_after(delay_s)))


def _touch(new: New) -> Mapping[str, Any]:
    """Turn an INSERT of intents into an upsert that bumps the generation."""
    return {
        # PyMySQL joins many rows into one INSERT only where nothing is bound behind them.
        "generation": JOURNAL.c.generation + sa.literal_column("1"),
        "rank": new.rank,
        "attempts": new.attempts,
        "not_before": new.not_before,
        "parked": new.parked,
        "last_error": sa.null(),
        "changed_at": new.changed_at,
    }


def is_noted(connection: sa.Connection, key: IntentKey) -> bool:
    """Return whether an intent exists that is not parked, as currently committed, and lock it."""
    query = sa.select(JOURNAL.c.id).where(
        JOURNAL.c.lane == key.lane,
        JOURNAL.c.type == key.type.value,
        JOURNAL.c.resource_id == key.id,
        JOURNAL.c.parked == sa.false(),
    )
    return connection.execute(query.with_for_update()).first() is not None


def is_claimed(connection: sa.Connection, key: IntentKey) -> bool:
    """Return whether an intent is being delivered; nobody claims it until the transaction ends."""
    query = sa.select(
        sa.and_(JOURNAL.c.owner.is_not(None), JOURNAL.c.expires_at > utc_now())
    ).where(
        JOURNAL.c.lane == key.lane,
        JOURNAL.c.type == key.type.value,
        JOURNAL.c.resource_id == key.id,
    )
    return bool(connection.scalar(query.with_for_update()))


def select_jobs(lane: SiteName, kind: ResourceType, *, parked: bool) -> "sa.Select[str]":
    """Select the objects of a type of a lane's intents, those that are parked or that are not."""
    return sa.select(JOURNAL.c.resource_id).where(
        JOURNAL.c.lane == lane,
        JOURNAL.c.type == kind.value,
        JOURNAL.c.parked == (sa.true() if parked else sa.false()),
    )


def is_parked(
    lane: sa.ColumnElement[str], kind: ResourceType, resource_id: sa.ColumnElement[str]
) -> sa.ColumnElement[bool]:
    """Return a condition on a row that names both: whether the lane's intent is parked."""
    return sa.exists().where(
        JOURNAL.c.lane == lane,
        JOURNAL.c.type == kind.value,
        JOURNAL.c.resource_id == resource_id,
        JOURNAL.c.parked == sa.true(),
    )


def delete(connection: sa.Connection, key: IntentKey) -> None:
    """Delete an intent: nobody has to be told of the object any more."""
    connection.execute(
        sa.delete(JOURNAL).where(
            JOURNAL.c.lane == key.lane,
            JOURNAL.c.type == key.type.value,
            JOURNAL.c.resource_id == key.id,
        )
    )


def delete_lanes(connection: sa.Connection, lanes: Collection[str]) -> int:
    """Delete the intents of whole lanes, and return how many there were."""
    return connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.lane.in_(list(lanes)))).rowcount


def await_present(connection: sa.Connection, lane: SiteName, kind: ResourceType) -> None:
    """Mark the intents of a lane that exist now, and unmark none.

    Which those are is a plain read, so that a change which is under way is neither waited for nor
    awaited.

    Args:
        connection: of the transaction.
        lane: their lane.
        kind: type of their objects.
    """
    of_kind = (JOURNAL.c.lane == lane, JOURNAL.c.type == kind.value)
    query = sa.select(JOURNAL.c.resource_id).where(*of_kind, JOURNAL.c.awaited == sa.false())
    ids = sorted(connection.scalars(query))  # in the order in which they are recorded
    for start in range(0, len(ids), _CHUNK):
        chosen = JOURNAL.c.resource_id.in_(ids[start : start + _CHUNK])
        connection.execute(sa.update(JOURNAL).where(*of_kind, chosen).values(awaited=True))


def count_awaited(
    connection: sa.Connection,
    lane: SiteName,
    kind: ResourceType,
    *,
    most: int,
    only: Sequence[sa.ColumnElement[bool]] = (),
) -> int:
    """Count the marked intents of a lane and a type that are not parked, up to a number.

    Args:
        connection: of the transaction.
        lane: their lane.
        kind: type of their objects.
        most: the number.
        only: what else has to be true of them.
    """
    some = (
        sa.select(JOURNAL.c.id)
        .where(
            JOURNAL.c.lane == lane,
            JOURNAL.c.type == kind.value,
            JOURNAL.c.awaited == sa.true(),
            JOURNAL.c.parked == sa.false(),
            *only,
        )
        .limit(most)
    )
    query = sa.select(sa.func.count()).select_from(some.subquery())
    return int(connection.execute(query).scalar_one())
