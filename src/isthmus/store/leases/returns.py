"""What a site has returned of its leases, until no older answer of central can be in progress.

Each part names the lease under which it was granted, and central takes it from that one alone. So a
call may be repeated, or arrive late: what central has granted since has another id. A part is kept
for longer than any answer of central's can be in progress, so that an old one does not restore the
lease.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.lease import Block, LeaseEvent, LeaseState, next_state
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.clock import is_older, utc_now
from isthmus.store.sql.tables import RETURNS
from isthmus.store.tiers.latest import Latest


@dataclass(frozen=True, slots=True)
class Return:
    """A part of a lease that is returned."""

    id: str  #: of the lease itself, or what its id would be
    origin: str  #: the id under which it was granted
    block: Block


def record(
    connection: sa.Connection, pool_id: str, part: Return, before: LeaseState, event: LeaseEvent
) -> None:
    """Record that a part is not used any more.

    Args:
        connection: of the transaction.
        pool_id: the subnet.
        part: the part.
        before: in use where it is a whole lease; absent where it is cut out of one.
        event: what happens to it.

    Raises:
        Inconsistent: the event is not possible in its state.
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
    """List the parts that have not been used for a while and that central has not taken yet."""
    query = sa.select(RETURNS).where(
        RETURNS.c.pool_id == pool_id,
        RETURNS.c.state == LeaseState.SET_ASIDE.value,
        is_older(RETURNS.c.changed_at, older_s),
    )
    return [
        Return(row.id, row.origin, Block(int(row.first), int(row.last)))
        for row in connection.execute(query)
    ]


def list_states(connection: sa.Connection, ids: Collection[str]) -> dict[str, LeaseState]:
    """List the states of those of these leases that are not used any more."""
    query = sa.select(RETURNS.c.id, RETURNS.c.state).where(RETURNS.c.id.in_(list(ids)))
    return {row.id: LeaseState(row.state) for row in connection.execute(query)}


def list_pools(connection: sa.Connection) -> set[str]:
    """List the pools of which central has to be told of something."""
    query = sa.select(RETURNS.c.pool_id).where(RETURNS.c.state == LeaseState.SET_ASIDE.value)
    return set(connection.scalars(query.distinct()))


def acknowledge(connection: sa.Connection, ids: Collection[str]) -> None:
    """Record that central has taken parts back; one that was deleted with its pool is skipped."""
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
    """Delete parts that were kept long enough since central took them back.

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
        Inconsistent: it is not possible for one of them.
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
    """Delete what was returned of a deleted pool."""
    connection.execute(sa.delete(RETURNS).where(RETURNS.c.pool_id == pool_id))
