"""Intents as operators see them: list, count, retry, cancel."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import IntentKey, Job, JobState, ResourceType
from isthmus.model.site import SiteName
from isthmus.store.tables import JOURNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs; what is None or empty does not narrow."""

    ids: Collection[str] = ()
    lanes: Collection[str] = ()
    types: Collection[ResourceType] = ()
    resource_ids: Collection[str] = ()
    states: Collection[JobState] = ()
    created_before: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """How a lane stands."""

    backlog: int  #: intents that are not parked
    parked: int
    oldest_at: datetime.datetime | None  #: when the oldest unparked intent was first recorded


def list_jobs(
    connection: sa.Connection,
    *,
    now: datetime.datetime,
    wanted: JobFilter | None = None,
    marker: str | None = None,
    limit: int | None = None,
) -> list[Job]:
    """List jobs, oldest first.

    Args:
        connection: where.
        now: the time, which tells running claims from expired ones.
        wanted: which.
        marker: the id of the last job of the page before; one that is gone begins at the start.
        limit: how many at most.
    """
    query = sa.select(JOURNAL).where(*_where(wanted or JobFilter(), now))
    if marker is not None:
        begin = connection.execute(
            sa.select(JOURNAL.c.created_at).where(JOURNAL.c.id == marker)
        ).scalar_one_or_none()
        if begin is not None:
            query = query.where(
                sa.or_(
                    JOURNAL.c.created_at > begin,
                    sa.and_(JOURNAL.c.created_at == begin, JOURNAL.c.id > marker),
                )
            )
    query = query.order_by(JOURNAL.c.created_at, JOURNAL.c.id).limit(limit)
    return [_job(row, now) for row in connection.execute(query)]


def count_lanes(connection: sa.Connection) -> dict[SiteName, LaneCounts]:
    """Count the intents of every lane that has any."""
    waiting = JOURNAL.c.parked.is_(sa.false())
    query = sa.select(
        JOURNAL.c.lane,
        sa.func.sum(sa.case((waiting, 1), else_=0)),
        sa.func.sum(sa.case((waiting, 0), else_=1)),
        sa.func.min(sa.case((waiting, JOURNAL.c.created_at), else_=None)),
    ).group_by(JOURNAL.c.lane)
    return {
        SiteName(lane): LaneCounts(backlog=int(backlog), parked=int(parked), oldest_at=oldest)
        for lane, backlog, parked, oldest in connection.execute(query)
    }


def retry_now(connection: sa.Connection, wanted: JobFilter, *, now: datetime.datetime) -> int:
    """Make jobs due at once, parked ones too; running ones are left to their worker.

    Returns:
        How many.
    """
    return connection.execute(
        sa.update(JOURNAL)
        .where(*_where(wanted, now), ~_running(now))
        .values(parked=False, attempts=0, not_before=now)
    ).rowcount


def cancel(connection: sa.Connection, wanted: JobFilter, *, now: datetime.datetime) -> int:
    """Drop jobs: the site keeps what it has until the object changes again or a sweep finds it.

    Returns:
        How many.
    """
    return connection.execute(sa.delete(JOURNAL).where(*_where(wanted, now))).rowcount


def _where(wanted: JobFilter, now: datetime.datetime) -> list[sa.ColumnElement[bool]]:
    columns: Sequence[tuple[Any, Collection[str]]] = (
        (JOURNAL.c.id, wanted.ids),
        (JOURNAL.c.lane, wanted.lanes),
        (JOURNAL.c.type, [kind.value for kind in wanted.types]),
        (JOURNAL.c.resource_id, wanted.resource_ids),
    )
    terms: list[sa.ColumnElement[bool]] = [
        column.in_(list(values)) for column, values in columns if values
    ]
    if wanted.states:
        by_state = {
            JobState.PARKED: JOURNAL.c.parked.is_(sa.true()),
            JobState.RUNNING: _running(now),
            JobState.WAITING: sa.and_(JOURNAL.c.parked.is_(sa.false()), ~_running(now)),
        }
        terms.append(sa.or_(*(by_state[state] for state in wanted.states)))
    if wanted.created_before is not None:
        terms.append(JOURNAL.c.created_at < wanted.created_before)
    return terms


def _running(now: datetime.datetime) -> sa.ColumnElement[bool]:
    # Never NULL, so that it can be negated.
    return sa.and_(
        JOURNAL.c.owner.is_not(None),
        JOURNAL.c.expires_at.is_not(None),
        JOURNAL.c.expires_at > now,
    )


def _job(row: Any, now: datetime.datetime) -> Job:
    running = row.owner is not None and row.expires_at is not None and row.expires_at > now
    return Job(
        id=row.id,
        key=IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id),
        state=JobState.PARKED
        if row.parked
        else (JobState.RUNNING if running else JobState.WAITING),
        generation=row.generation,
        attempts=row.attempts,
        created_at=row.created_at,
        changed_at=row.changed_at,
        not_before=row.not_before,
        last_error=row.last_error or "",
    )
