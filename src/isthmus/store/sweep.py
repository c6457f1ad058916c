"""Sweeps: what the journal does not learn from changes."""

from collections.abc import Callable

import sqlalchemy as sa

from isthmus.store import journal
from isthmus.store.tables import JOURNAL, LANES, SITES


def drop_orphans(connection: sa.Connection) -> int:
    """Drop intents and batch numbers of sites that were deleted.

    Returns:
        How many intents.
    """
    known = sa.select(SITES.c.name)
    connection.execute(sa.delete(LANES).where(LANES.c.lane.not_in(known)))
    lanes = set(connection.scalars(sa.select(JOURNAL.c.lane).distinct()))
    orphans = sorted(lanes - set(connection.scalars(known)))
    if not orphans:
        return 0
    return connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.lane.in_(orphans))).rowcount


def release_dead(connection: sa.Connection, is_dead: Callable[[str], bool]) -> int:
    """Give back at once what workers held that are known to be dead.

    Args:
        connection: where.
        is_dead: tells it of an owner.

    Returns:
        How many claims.
    """
    # A lane that was ever claimed has its row: one dive into an index for each. One owner carries
    # it at a time, and what is left of another has run out.
    last = (
        sa.select(JOURNAL.c.owner)
        .where(JOURNAL.c.lane == LANES.c.lane)
        .order_by(JOURNAL.c.owner.desc())
        .limit(1)
        .correlate(LANES)
    )
    owners = sa.select(LANES.c.lane, journal.through(last, "owner").scalar_subquery())
    released = 0
    for lane, owner in connection.execute(owners).all():
        if owner is not None and is_dead(owner):
            released += connection.execute(
                sa.update(JOURNAL)
                .where(JOURNAL.c.lane == lane, JOURNAL.c.owner == owner)
                .values(owner=None, expires_at=None)
            ).rowcount
    return released
