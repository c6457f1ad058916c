"""Numbers of batches, by which a receiver distinguishes a late batch from a new one.

The sender of a lane numbers its batches (`isthmus.model.number`); the receiver stores the newest
number. A batch whose sender timed out is sent again under a higher number, so whatever is left of
the first one is refused from then on. A sender that learns that the other side has seen higher
numbers than it ever sent (its database was restored from a backup, or somebody sent a wrong one)
continues above them.
"""

import logging
from collections.abc import Collection

import sqlalchemy as sa

from isthmus import errors
from isthmus.model import number
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.sql.tables import APPLIED, EPOCHS, LANES
from isthmus.store.sql.upsert import insert_or_keep, insert_or_update

LOG = logging.getLogger(__name__)

#: First epoch of a database that never knew another.
FIRST_EPOCH = 1

#: Of how many batches a receiver knows which objects they dealt with: far more than arrive while a
#: bundle is on its way. A bundle that took longer is asked for again.
KEPT = 1024
#: Objects looked up in one statement.
_AT_ONCE = 500


def peek_epoch(connection: sa.Connection) -> int:
    """Return the epoch of this tier's database by a plain read."""
    return connection.scalar(sa.select(EPOCHS.c.epoch)) or FIRST_EPOCH


def next_sequence(connection: sa.Connection, lane: SiteName) -> int:
    """Number the next batch of a lane; locks the lane's row until the transaction ends."""
    count_up = sa.update(LANES).where(LANES.c.lane == lane).values(sent=LANES.c.sent + 1)
    if not connection.execute(count_up).rowcount:  # the row has its first number of the epoch's
        _ensure(connection, lane)
        connection.execute(count_up)
    sent = connection.execute(sa.select(LANES.c.sent).where(LANES.c.lane == lane)).scalar_one()
    return int(sent)


def tell(connection: sa.Connection, lane: SiteName) -> int:
    """Number an answer to a hello, which carries a proof of the number.

    Batches advance `sent`, even past what a peer has seen; only this advances `told`. So a database
    that is shown a later proven number is older than what it gave.
    """
    sent = next_sequence(connection, lane)
    connection.execute(sa.update(LANES).where(LANES.c.lane == lane).values(told=sent))
    return sent


def go_on_above(connection: sa.Connection, lane: SiteName, seen: int) -> bool:
    """Number what follows above what the other side has seen.

    Not where that is of a later epoch: then this is an old incarnation, restored or a copy, which
    must not be accepted before it has found that out and begun an epoch of its own. Never at a
    site: that central has seen more than the site's database sent shows that the database is old,
    and its next hello could not find that out any more.

    Returns:
        Whether the other side had seen more than this database ever sent.

    Raises:
        ProtocolError: no peer can have seen such a number.
    """
    if not 0 <= seen < number.LIMIT - 1:
        raise errors.ProtocolError(f"lane {lane}: {seen} is no batch's number")
    _ensure(connection, lane)
    epoch = peek_epoch(connection)
    if number.epoch_of(seen) > epoch or lane == CENTRAL:
        LOG.warning("Lane %s has seen batch %s; this is epoch %d", lane, number.show(seen), epoch)
        return False
    return bool(
        connection.execute(
            sa.update(LANES).where(LANES.c.lane == lane, LANES.c.sent < seen).values(sent=seen)
        ).rowcount
    )


def admit(connection: sa.Connection, lane: SiteName, sequence: int) -> None:
    """Admit an item of a batch, and refuse older batches from now on.

    Call it in the transaction that applies the item; the answer holds until that ends. It is
    correct at every isolation level, because the check is a write.

    Args:
        connection: of the transaction, in the receiver's database.
        lane: the sender.
        sequence: the batch's number.

    Raises:
        Stale: a newer batch has been seen; its number is the error's field `seen`.
        Invalid: it is not a number, or implausibly high.
    """
    if _admitted(connection, lane, sequence):
        return
    _ensure(connection, lane)
    if _admitted(connection, lane, sequence):
        return
    seen = read_seen(connection, lane)
    if not number.is_plausible(sequence, seen):
        raise errors.Invalid(f"batch {sequence} from {lane} cannot follow {number.show(seen)}")
    raise errors.Stale(
        f"batch {number.show(sequence)} from {lane} is late: {number.show(seen)} came before it",
        sequence=sequence,
        seen=seen,
    )


def record_applied(connection: sa.Connection, ids: Collection[str], sequence: int) -> None:
    """Record that a batch deals with objects from now on; call it once `admit` has passed.

    What is known of older batches than the newest `KEPT` is deleted.
    """
    rows = [{"resource_id": one, "sequence": sequence} for one in sorted(set(ids))]
    if not rows:
        return
    newer = insert_or_update(connection, APPLIED, lambda new: {"sequence": new.sequence})
    connection.execute(newer, rows)
    connection.execute(sa.delete(APPLIED).where(APPLIED.c.sequence <= sequence - KEPT))


def refuse_overtaken(
    connection: sa.Connection,
    lane: SiteName,
    seen: int,
    ids: Collection[str],
    *,
    write: bool = False,
) -> None:
    """Check, until the transaction ends, that no batch has dealt with objects since a number.

    Batches about other objects do not count: a busy lane would keep everything away that was asked
    for meanwhile. Both this and `admit` lock the lane's row first, so that neither passes the other
    unseen.

    Args:
        connection: of the transaction, in the receiver's database.
        lane: the sender.
        seen: the newest batch when the objects were asked for.
        ids: the objects.
        write: whether the transaction changes the lane's row afterwards.

    Raises:
        Stale: one has, or so many have arrived that it is not known.
    """
    newest = read_seen(connection, lane, write=write)
    if newest != seen and _find_applied(connection, seen, newest, ids, lock=True):
        raise errors.Stale(
            f"batch {number.show(newest)} from {lane} overtook what was asked for", seen=newest
        )


def find_overtaken(
    connection: sa.Connection, lane: SiteName, seen: int, ids: Collection[str]
) -> set[str]:
    """Find the objects that a batch has dealt with since a number, without locks.

    Args:
        connection: of the transaction, in the receiver's database.
        lane: the sender.
        seen: the newest batch when the objects were asked for.
        ids: the objects.

    Returns:
        Them; all, if so many batches have arrived that it is not known.
    """
    _, newest = peek(connection, lane)
    return set() if newest == seen else _find_applied(connection, seen, newest, ids, lock=False)


def _find_applied(
    connection: sa.Connection, seen: int, newest: int, ids: Collection[str], *, lock: bool
) -> set[str]:
    if not seen < newest <= seen + KEPT:
        return set(ids)
    found: set[str] = set()
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        query = sa.select(APPLIED.c.resource_id).where(
            APPLIED.c.resource_id.in_(some), APPLIED.c.sequence > seen
        )
        found.update(connection.scalars(query.with_for_update(read=True) if lock else query))
    return found


def read_seen(connection: sa.Connection, lane: SiteName, *, write: bool = False) -> int:
    """Read the newest number seen, as currently committed, and lock it."""
    seen = connection.scalar(
        sa.select(LANES.c.seen).where(LANES.c.lane == lane).with_for_update(read=not write)
    )
    return int(seen or 0)


def peek(connection: sa.Connection, lane: SiteName) -> tuple[int, int]:
    """Read the newest numbers sent and seen, without locks."""
    query = sa.select(LANES.c.sent, LANES.c.seen).where(LANES.c.lane == lane)
    row = connection.execute(query).one_or_none()
    return (0, 0) if row is None else (int(row.sent), int(row.seen))


def read_proven(connection: sa.Connection, lane: SiteName) -> int:
    """Read the newest number given with a proof, as currently committed."""
    told = connection.scalar(
        sa.select(LANES.c.told).where(LANES.c.lane == lane).with_for_update(read=True)
    )
    return int(told or 0)


def peek_proven(connection: sa.Connection, lane: SiteName) -> int:
    """Read the newest number given with a proof, without a lock."""
    return int(connection.scalar(sa.select(LANES.c.told).where(LANES.c.lane == lane)) or 0)


def begin_epoch(connection: sa.Connection, epoch: int) -> None:
    """Number what follows in every lane above the numbers of earlier epochs."""
    least = number.make(epoch)
    for column in (LANES.c.sent, LANES.c.told):
        connection.execute(sa.update(LANES).where(column < least).values({column: least}))


def begin_again(connection: sa.Connection, *, above: int | None) -> None:
    """Discard the numbers that were seen of a later epoch than one, and admit all from its first.

    Args:
        connection: of the transaction.
        above: a number of that epoch; None: whatever was seen.
    """
    forgotten: sa.ColumnElement[bool] = sa.true()
    if above is not None:
        forgotten = LANES.c.seen >= number.make(number.epoch_of(above) + 1)
    again = sa.update(LANES).where(forgotten).values(seen=number.make(1))
    if connection.execute(again).rowcount:
        connection.execute(sa.delete(APPLIED))


def forget(connection: sa.Connection, lane: SiteName) -> None:
    """Delete a lane's numbers, with the site."""
    connection.execute(sa.delete(LANES).where(LANES.c.lane == lane))


def forget_unknown(connection: sa.Connection, known: "sa.Select[str]") -> None:
    """Delete the numbers of all lanes but these."""
    connection.execute(sa.delete(LANES).where(LANES.c.lane.not_in(known)))


def _admitted(connection: sa.Connection, lane: SiteName, sequence: int) -> bool:
    if not 0 <= sequence < number.LIMIT:
        return False
    # The oldest number from which one may have got this far.
    least = number.make(max(0, number.epoch_of(sequence) - number.MOST_EPOCHS_AHEAD))
    return bool(
        connection.execute(
            sa.update(LANES)
            .where(LANES.c.lane == lane, LANES.c.seen <= sequence, LANES.c.seen >= least)
            .values(seen=sequence)
        ).rowcount
    )


def _ensure(connection: sa.Connection, lane: SiteName) -> None:
    epoch = sa.func.coalesce(sa.select(EPOCHS.c.epoch).scalar_subquery(), FIRST_EPOCH)
    first = epoch * number.make(1)
    row = {"lane": lane, "sent": first, "told": first, "seen": 0}
    connection.execute(insert_or_keep(connection, LANES).values(row))
