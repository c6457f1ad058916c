"""Numbers of batches: how a receiver tells a late batch from a new one.

The sender of a lane numbers its batches; the receiver remembers the newest number. A batch whose
sender gave up waiting is sent again under a higher number, so whatever is left of the first one is
refused from then on. The numbers follow the clock (microseconds since 1970), so that they go on
growing after a sender's database came back from a backup, but never backwards with it.
"""

import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.tables import LANES

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC and naive, as all our times
_MICROSECOND = datetime.timedelta(microseconds=1)


def next_sequence(connection: sa.Connection, lane: SiteName, *, now: datetime.datetime) -> int:
    """Number the next batch to a lane; holds the lane's row until the transaction ends."""
    floor = (now - _EPOCH) // _MICROSECOND
    _ensure(connection, lane)
    connection.execute(
        sa.update(LANES)
        .where(LANES.c.lane == lane)
        .values(sent=sa.case((LANES.c.sent < floor, floor), else_=LANES.c.sent + 1))
    )
    sent = connection.execute(sa.select(LANES.c.sent).where(LANES.c.lane == lane)).scalar_one()
    return int(sent)


def admit(connection: sa.Connection, lane: SiteName, sequence: int) -> None:
    """Let an item of a batch in, and shut out what is older.

    Ask in the transaction that applies the item; the answer holds until that ends.

    Args:
        connection: the receiver's database.
        lane: who sent it.
        sequence: the batch's number.

    Raises:
        Stale: a newer batch has been seen.
    """
    _ensure(connection, lane)
    admitted = connection.execute(
        sa.update(LANES).where(LANES.c.lane == lane, LANES.c.seen <= sequence).values(seen=sequence)
    ).rowcount
    if admitted:
        return
    seen = connection.execute(sa.select(LANES.c.seen).where(LANES.c.lane == lane)).scalar_one()
    if seen > sequence:
        raise errors.Stale(
            f"batch {sequence} from {lane} is late: {seen} came before it",
            sequence=sequence,
            seen=seen,
        )


def forget(connection: sa.Connection, lane: SiteName) -> None:
    """Forget a lane's numbers, with the site."""
    connection.execute(sa.delete(LANES).where(LANES.c.lane == lane))


def _ensure(connection: sa.Connection, lane: SiteName) -> None:
    row = {"lane": lane, "sent": 0, "seen": 0}
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(LANES).values(row).on_conflict_do_nothing())
    else:
        connection.execute(
            mysql.insert(LANES).values(row).on_duplicate_key_update(lane=LANES.c.lane)
        )
