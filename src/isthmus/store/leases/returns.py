"""What a site stopped using of its leases, until central can say nothing of it that is older.

Each part names the lease under which it was granted, and central takes it out of that one alone. So
a call may be made again, or come late: what central has granted anew has another id. A part stands
for longer than any answer of central's can be under way, so that an old one does not bring the
lease back to life.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.lease import Block
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.clock import utc_after, utc_now
from isthmus.store.sql.tables import RETURNS


@dataclass(frozen=True, slots=True)
class Return:
    """A part of a lease that goes back."""

    id: str  #: of the lease itself, or what its id would be
    origin: str  #: the id under which it was granted
    block: Block


def record(connection: sa.Connection, pool_id: str, part: Return) -> None:
    """Note that a part is used no more."""
    connection.execute(
        sa.insert(RETURNS).values(
            id=part.id,
            pool_id=pool_id,
            origin=part.origin,
            first=to_text(part.block.first),
            last=to_text(part.block.last),
            acknowledged=False,
            changed_at=utc_now(),
        )
    )


def list_unacknowledged(connection: sa.Connection, pool_id: str, *, older_s: float) -> list[Return]:
    """List the parts that are used no more for a while and that central has not taken yet."""
    query = sa.select(RETURNS).where(
        RETURNS.c.pool_id == pool_id,
        RETURNS.c.acknowledged == sa.false(),
        RETURNS.c.changed_at <= utc_after(-older_s),
    )
    return [
        Return(row.id, row.origin, Block(int(row.first), int(row.last)))
        for row in connection.execute(query)
    ]


def list_known(connection: sa.Connection, ids: Collection[str]) -> set[str]:
    """List which of these leases are used no more."""
    return set(connection.scalars(sa.select(RETURNS.c.id).where(RETURNS.c.id.in_(list(ids)))))


def list_pools(connection: sa.Connection) -> set[str]:
    """List the pools of which central has to be told of something."""
    query = sa.select(RETURNS.c.pool_id).where(RETURNS.c.acknowledged == sa.false())
    return set(connection.scalars(query.distinct()))


def mark_acknowledged(connection: sa.Connection, ids: Collection[str]) -> None:
    """Note that central has taken parts back."""
    connection.execute(
        sa.update(RETURNS)
        .where(RETURNS.c.id.in_(list(ids)))
        .values(acknowledged=True, changed_at=utc_now())
    )


def list_acknowledged(connection: sa.Connection) -> set[str]:
    """List the parts that central has taken back."""
    return set(
        connection.scalars(sa.select(RETURNS.c.id).where(RETURNS.c.acknowledged == sa.true()))
    )


def delete_told(connection: sa.Connection, ids: Collection[str]) -> None:
    """Forget parts that have stood long enough."""
    connection.execute(
        sa.delete(RETURNS).where(RETURNS.c.acknowledged == sa.true(), RETURNS.c.id.in_(list(ids)))
    )


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Forget what went back of a pool that is gone."""
    connection.execute(sa.delete(RETURNS).where(RETURNS.c.pool_id == pool_id))
