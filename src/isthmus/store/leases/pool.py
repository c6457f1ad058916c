"""The lock of a pool: a row that whoever allocates from it writes.

Written, not only locked: on a Galera cluster a row lock holds on one node only, while two writers
of one row are found out when they commit.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from isthmus.model.lease import PoolKind
from isthmus.store.sql.tables import POOLS


def lock(connection: sa.Connection, kind: PoolKind, pool_id: str) -> None:
    """Wait for the pool and keep it until the transaction ends."""
    values = {"kind": kind.value, "pool_id": pool_id, "turn": 1}
    statement: sa.Executable
    if connection.dialect.name == "sqlite":
        statement = (
            sqlite.insert(POOLS)
            .values(values)
            .on_conflict_do_update(
                index_elements=[POOLS.c.kind, POOLS.c.pool_id], set_={"turn": POOLS.c.turn + 1}
            )
        )
    else:
        statement = (
            mysql.insert(POOLS).values(values).on_duplicate_key_update(turn=POOLS.c.turn + 1)
        )
    connection.execute(statement)


def delete(connection: sa.Connection, kind: PoolKind, pool_id: str) -> None:
    """Forget a pool that is gone."""
    connection.execute(
        sa.delete(POOLS).where(POOLS.c.kind == kind.value, POOLS.c.pool_id == pool_id)
    )
