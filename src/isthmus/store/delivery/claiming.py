"""How workers claim the journal's intents and settle them, in SQL for SQLite and MariaDB.

Each transition is one guarded statement, as in `journal`, and no statement reads more of it than
the part of one lane that it needs: a look at all lanes is one dive into an index for each of them
(`tests/ports/test_journal_plans.py` asks the databases).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from isthmus.model.intent import Batch, Claim, IntentKey, Outcome, Settlement, removal_rank
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import lane as lane_store
from isthmus.store.sql.clock import utc_after, utc_now
from isthmus.store.sql.tables import JOURNAL, SITES


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverable:
    """Which intents may be delivered."""

    but: Collection[str] = ()  #: lanes to which nothing goes
    only: Sequence[sa.ColumnElement[bool]] = ()  #: conditions on rows of the journal


ALL = Deliverable()


def due_lanes(connection: sa.Connection, which: Deliverable = ALL) -> set[SiteName]:
    """List the sites that have an intent due and unclaimed: one dive into an index for each.

    Args:
        connection: of the transaction.
        which: intents may be delivered.
    """
    query = sa.select(SITES.c.name).where(
        SITES.c.name.not_in(which.but), _first_is_due(SITES.c.name, which).is_(sa.true())
    )
    return {SiteName(name) for (name,) in connection.execute(query)}


def is_due(connection: sa.Connection, lane: SiteName, which: Deliverable = ALL) -> bool:
    """Return whether a lane has an intent due and unclaimed that may be delivered."""
    if lane in which.but:
        return False
    return bool(connection.execute(sa.select(_first_is_due(sa.literal(lane), which))).scalar_one())


def _first_is_due(lane: sa.ColumnElement[str], which: Deliverable) -> sa.ScalarSelect[bool]:
    """Return whether the intent that comes first in time is due: where it is not, none is."""
    first = (
        sa.select(_is_time())
        .where(JOURNAL.c.lane == lane, JOURNAL.c.parked == sa.false(), _is_free(), *which.only)
        .order_by(JOURNAL.c.not_before)
        .limit(1)
        .correlate(SITES)
    )
    return through(first, "due").scalar_subquery()


def through(query: sa.Select[Any], index: str) -> sa.Select[Any]:
    """Have MariaDB read the journal through one of its indexes.

    It tends to take the primary key, which begins with the lane too, and then reads the whole lane.
    """
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(JOURNAL, f"FORCE INDEX (ix_isthmus_journal_{index})", dialect)
    return query


def _is_time() -> sa.ColumnElement[bool]:
    return sa.or_(JOURNAL.c.not_before.is_(None), JOURNAL.c.not_before <= utc_now())


def _is_free() -> sa.ColumnElement[bool]:
    return sa.or_(JOURNAL.c.owner.is_(None), JOURNAL.c.expires_at <= utc_now())


def release_owner(connection: sa.Connection, lane: SiteName, owner: str) -> int:
    """Release what an owner has claimed in a lane, and return how many there were."""
    return connection.execute(
        sa.update(JOURNAL)
        .where(JOURNAL.c.lane == lane, JOURNAL.c.owner == owner)
        .values(owner=None, expires_at=None)
    ).rowcount


def claim(
    connection: sa.Connection,
    lane: SiteName,
    *,
    owner: str,
    claim_s: float,
    limit: int,
    but: Collection[str] = (),
    which: Callable[[sa.Connection], Deliverable] = lambda _: ALL,
) -> Batch:
    """Claim up to `limit` due intents of a lane, in the order of work.

    None while another owner has unexpired claims in the lane.

    Args:
        connection: of the transaction.
        lane: the lane.
        owner: id of the worker.
        claim_s: how long the claims last, in seconds.
        limit: how many at most.
        but: ids of objects whose intents are left alone.
        which: returns which intents may be delivered; asked behind the lane's lock, which whoever
            finds out that this tier was restored takes too.
    """
    # Also the lock that lets one worker at a time claim in a lane.
    sequence = lane_store.next_sequence(connection, lane)
    if _is_claimed(connection, lane, owner):
        return Batch()
    deliverable = which(connection)
    if lane in deliverable.but:
        return Batch()
    chosen = (
        sa.select(JOURNAL.c.id)
        .where(
            JOURNAL.c.lane == lane,
            JOURNAL.c.parked == sa.false(),
            _is_time(),
            _is_free(),
            JOURNAL.c.resource_id.not_in(but),
            *deliverable.only,
        )
        .order_by(JOURNAL.c.rank, JOURNAL.c.not_before, JOURNAL.c.changed_at)
        .limit(limit)
    )
    chosen = through(chosen, "work")
    change = sa.update(JOURNAL).values(owner=owner, expires_at=utc_after(claim_s))
    if connection.dialect.name == "sqlite":
        rows = connection.execute(change.where(JOURNAL.c.id.in_(chosen)).returning(JOURNAL)).all()
    else:
        # SKIP LOCKED also passes over rows that a tenant's open transaction is changing.
        ids = connection.scalars(chosen.with_for_update(skip_locked=True)).all()
        if not ids:
            return Batch()
        connection.execute(change.where(JOURNAL.c.id.in_(ids)))
        rows = connection.execute(sa.select(JOURNAL).where(JOURNAL.c.id.in_(ids))).all()
    epoch = lane_store.peek_epoch(connection)
    claims = [
        Claim(
            id=row.id,
            key=IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id),
            generation=row.generation,
            attempts=row.attempts,
            rank=row.rank,
            owner=owner,
            epoch=epoch,
            failed=row.last_error is not None,
        )
        for row in rows
    ]
    if not claims:
        return Batch()
    return Batch(sequence, tuple(sorted(claims, key=lambda one: (one.rank, one.key))))


def extend(connection: sa.Connection, lane: SiteName, *, owner: str, claim_s: float) -> int:
    """Have the claims of an owner in a lane last longer: it still waits for the answer.

    A row that a tenant's open transaction changes is passed over: one claim that lasts keeps all
    others out of the lane.

    Args:
        connection: of the transaction.
        lane: the lane.
        owner: id of the worker.
        claim_s: how long the claims last from now on, in seconds.

    Returns:
        How many there are.
    """
    mine = sa.select(JOURNAL.c.id).where(JOURNAL.c.lane == lane, JOURNAL.c.owner == owner)
    if connection.dialect.name != "sqlite":
        mine = through(mine, "owner").with_for_update(skip_locked=True)
    ids = connection.scalars(mine).all()
    if not ids:
        return 0
    change = sa.update(JOURNAL).where(JOURNAL.c.id.in_(ids), JOURNAL.c.owner == owner)
    return connection.execute(change.values(expires_at=utc_after(claim_s))).rowcount


def _is_claimed(connection: sa.Connection, lane: SiteName, owner: str) -> bool:
    """Return whether another owner claims a lane; true until the lane's row is unlocked."""
    claimed = (
        sa.select(JOURNAL.c.id)
        .where(
            JOURNAL.c.lane == lane,
            JOURNAL.c.owner.is_not(None),
            JOURNAL.c.owner != owner,
            JOURNAL.c.expires_at > utc_now(),
        )
        .limit(1)
    )
    return connection.execute(through(claimed, "owner")).first() is not None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of claims, beside what becomes of them every time."""

    removed: list[IntentKey] = field(default_factory=list)  #: gone, as the other side knows
    parked: list[Settlement] = field(default_factory=list)
    mended: list[IntentKey] = field(default_factory=list)  #: done, after they had failed


def settle(connection: sa.Connection, settlements: Sequence[Settlement]) -> Settled:
    """Settle claims.

    One of an earlier epoch is only released. The rows are of a backup: a generation there may be
    one that was counted again, and ask for what was never delivered.
    """
    settled = Settled()
    epoch = lane_store.peek_epoch(connection)
    for one in settlements:
        if one.claim.epoch != epoch:
            _release(connection, one.claim)
            continue
        match one.outcome:
            case Outcome.DONE:
                if acknowledge(connection, one.claim):
                    if one.absent:
                        settled.removed.append(one.claim.key)
                    if one.claim.failed:
                        settled.mended.append(one.claim.key)
            case Outcome.AGAIN:
                retry(connection, one)
            case Outcome.PARKED:
                if park(connection, one.claim, error=one.error):
                    settled.parked.append(one)
    return settled


def acknowledge(connection: sa.Connection, claim: Claim) -> bool:
    """Delete the row if its generation is unchanged, else release the claim: it is due again.

    The owner is not checked: this generation was delivered, by whomever.

    Returns:
        Whether the row was deleted.
    """
    gone = connection.execute(sa.delete(JOURNAL).where(_unchanged(claim))).rowcount
    if not gone:
        _release(connection, claim)
    return bool(gone)


def retry(connection: sa.Connection, settlement: Settlement) -> None:
    """Release a row, due later; one whose generation changed meanwhile is due at once."""
    claim = settlement.claim
    values: dict[str, Any] = {"owner": None, "expires_at": None}
    values["not_before"] = utc_after(settlement.delay_s) if settlement.delay_s > 0 else None
    if settlement.error:
        values["last_error"] = settlement.error
    if settlement.counts:
        values["attempts"] = claim.attempts + 1
    if settlement.after:
        values["rank"] = removal_rank(claim.key.type)
    if not connection.execute(sa.update(JOURNAL).where(_mine(claim)).values(values)).rowcount:
        _release(connection, claim)


def park(connection: sa.Connection, claim: Claim, *, error: str) -> bool:
    """Park a row with its reason; one whose generation changed meanwhile is due instead.

    Returns:
        Whether it is parked.
    """
    values = {
        "parked": True,
        "attempts": claim.attempts + 1,
        "last_error": error,
        "owner": None,
        "expires_at": None,
    }
    parked = connection.execute(sa.update(JOURNAL).where(_mine(claim)).values(values)).rowcount
    if not parked:
        _release(connection, claim)
    return bool(parked)


def _release(connection: sa.Connection, claim: Claim) -> None:
    connection.execute(
        sa.update(JOURNAL)
        .where(JOURNAL.c.id == claim.id, JOURNAL.c.owner == claim.owner)
        .values(owner=None, expires_at=None)
    )


def _unchanged(claim: Claim) -> sa.ColumnElement[bool]:
    return sa.and_(JOURNAL.c.id == claim.id, JOURNAL.c.generation == claim.generation)


def _mine(claim: Claim) -> sa.ColumnElement[bool]:
    return sa.and_(_unchanged(claim), JOURNAL.c.owner == claim.owner)
