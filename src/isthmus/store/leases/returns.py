"""What a site stopped using of its leases, until central can say nothing of it that is older.

Each part names the lease under which it was granted, and central takes it out of that one alone. So
a call may be made again, or come late: what central has granted anew has another id. A part stands
for longer than any answer of central's can be under way, so that an old one does not bring the
lease back to life.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.lease import Block, LeaseEvent, LeaseState, next_state
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.clock import utc_after, utc_now
from isthmus.store.sql.tables import RETURNS
from isthmus.store.tiers.latest import Latest


@dataclass(frozen=True, slots=True)
class Return:
    """A part of a lease that goes back."""

    id: str  #: of the lease itself, or what its id would be
    origin: str  #: the id under which it was granted
    block: Block


def record(
    connection: sa.Connection, pool_id: str, part: Return, before: LeaseState, event: LeaseEvent
) -> None:
    """Note that a part is used no more.

    Args:
        connection: where.
        pool_id: the subnet.
        part: what goes back.
        before: in use where it is a lease as a whole; absent where it is cut out of one.
        event: what happens to it.

    Raises:
        Inconsistent: that cannot happen to it.
    """
    connection.execute(
        sa.insert(RETURNS).values(
            id=part.id,
            pool_id=pool_id,
            origin=part.origin,
            first=to_text(part.block.first),
            last=to_text(part.block.last),
            state=next_state(before, event).value,
            changed_at=utc_now(),
        )
    )


def list_unacknowledged(connection: sa.Connection, pool_id: str, *, older_s: float) -> list[Return]:
    """List the parts that are used no more for a while and that central has not taken yet."""
    query = sa.select(RETURNS).where(
        RETURNS.c.pool_id == pool_id,
        RETURNS.c.state == LeaseState.SET_ASIDE.value,
        RETURNS.c.changed_at <= utc_after(-older_s),
    )
    return [
        Return(row.id, row.origin, Block(int(row.first), int(row.last)))
        for row in connection.execute(query)
    ]


def list_states(connection: sa.Connection, ids: Collection[str]) -> dict[str, LeaseState]:
    """List the states of those of these leases that are used no more."""
    query = sa.select(RETURNS.c.id, RETURNS.c.state).where(RETURNS.c.id.in_(list(ids)))
    return {row.id: LeaseState(row.state) for row in connection.execute(query)}


def list_pools(connection: sa.Connection) -> set[str]:
    """List the pools of which central has to be told of something."""
    query = sa.select(RETURNS.c.pool_id).where(RETURNS.c.state == LeaseState.SET_ASIDE.value)
    return set(connection.scalars(query.distinct()))


def acknowledge(connection: sa.Connection, ids: Collection[str]) -> None:
    """Note that central has taken parts back; one that is gone with its pool is passed over."""
    for state, some in _advance(connection, ids, LeaseEvent.ACKNOWLEDGE).items():
        connection.execute(
            sa.update(RETURNS)
            .where(RETURNS.c.id.in_(some))
            .values(state=state.value, changed_at=utc_now())
        )


def list_acknowledged(connection: sa.Connection) -> set[str]:
    """List the parts that central has taken back."""
    return set(
        connection.scalars(
            sa.select(RETURNS.c.id).where(RETURNS.c.state == LeaseState.ACKNOWLEDGED.value)
        )
    )


def forget(connection: sa.Connection, ids: Collection[str]) -> None:
    """Forget parts that have stood long enough since central took them back.

    Raises:
        Inconsistent: central has not taken one of them.
    """
    for some in _advance(connection, ids, LeaseEvent.FORGET).values():
        connection.execute(sa.delete(RETURNS).where(RETURNS.c.id.in_(some)))


def _advance(
    connection: sa.Connection, ids: Collection[str], event: LeaseEvent
) -> dict[LeaseState, list[str]]:
    """Lock parts, and return which of them get which state by an event.

    Raises:
        Inconsistent: it cannot happen to one of them.
    """
    query = sa.select(RETURNS.c.id, RETURNS.c.state).where(RETURNS.c.id.in_(sorted(ids)))
    states = Latest.read(
        connection, query, lambda row: (str(row.id), LeaseState(row.state)), write=True
    )
    found: dict[LeaseState, list[str]] = {}
    for one, state in states:
        new = next_state(state, event)
        if new is not state:
            found.setdefault(new, []).append(one)
    return found


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Forget what went back of a pool that is gone."""
    connection.execute(sa.delete(RETURNS).where(RETURNS.c.pool_id == pool_id))
