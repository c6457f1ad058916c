"""The lock of a pool: a row that every transaction writes which allocates from it.

It is written, not only locked: on a Galera cluster a row lock holds on one node only, while two
writers of one row collide when they commit.
"""

import sqlalchemy as sa

from isthmus.model.lease import PoolKind
from isthmus.store.sql.tables import POOLS
from isthmus.store.sql.upsert import insert_or_update


def lock(connection: sa.Connection, kind: PoolKind, pool_id: str) -> None:
    """Lock a pool until the transaction ends."""
    values = {"kind": kind.value, "pool_id": pool_id, "turn": 1}
    insert = insert_or_update(connection, POOLS, lambda _new: {"turn": POOLS.c.turn + 1})
    connection.execute(insert.values(values))


def delete(connection: sa.Connection, kind: PoolKind, pool_id: str) -> None:
    """Delete the lock of a deleted pool."""
    connection.execute(
        sa.delete(POOLS).where(POOLS.c.kind == kind.value, POOLS.c.pool_id == pool_id)
    )
