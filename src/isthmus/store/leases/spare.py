"""Central's own addresses that no port has, as runs of numbers.

The next address is found by reading one row, however many are in use. A caller holds the pool's
lock.
"""

import sqlalchemy as sa

from isthmus.model.lease import Block
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.tables import SPARES
from isthmus.store.tiers.latest import Latest


def take(connection: sa.Connection, pool_id: str, wanted: int) -> list[int]:
    """Remove and return up to so many of the lowest spare numbers."""
    taken: list[int] = []
    while len(taken) < wanted:
        block = _find(connection, sa.select(SPARES).where(SPARES.c.pool_id == pool_id))
        if block is None:
            break
        last = min(block.last, block.first + wanted - len(taken) - 1)
        taken += range(block.first, last + 1)
        cut(connection, pool_id, block, Block(block.first, last))
    return taken


def take_one(connection: sa.Connection, pool_id: str, number: int) -> bool:
    """Remove a given number; return whether it was spare."""
    query = sa.select(SPARES).where(SPARES.c.pool_id == pool_id, SPARES.c.first <= to_text(number))
    block = _find(connection, query, last=True)
    if block is None or number not in block:
        return False
    cut(connection, pool_id, block, Block(number, number))
    return True


def take_block(connection: sa.Connection, pool_id: str, block: Block) -> None:
    """Remove the spare numbers of a block."""
    for run in read_all(connection, pool_id):
        if run.overlaps(block):
            out = Block(max(run.first, block.first), min(run.last, block.last))
            cut(connection, pool_id, run, out)


def add(connection: sa.Connection, pool_id: str, block: Block) -> None:
    """Insert numbers; the caller knows that they are missing."""
    values = {"pool_id": pool_id, "first": to_text(block.first), "last": to_text(block.last)}
    connection.execute(sa.insert(SPARES).values(values))


def read_all(connection: sa.Connection, pool_id: str) -> Latest[Block]:
    """Read every spare run of a pool."""
    query = sa.select(SPARES).where(SPARES.c.pool_id == pool_id).order_by(SPARES.c.first)
    return Latest.read(
        connection, query, lambda row: Block(int(row.first), int(row.last)), write=True
    )


def delete_all(connection: sa.Connection, pool_id: str) -> None:
    """Delete the spare numbers of a pool."""
    connection.execute(sa.delete(SPARES).where(SPARES.c.pool_id == pool_id))


def cut(connection: sa.Connection, pool_id: str, run: Block, out: Block) -> None:
    """Cut a part out of a run.

    Args:
        connection: of the transaction.
        pool_id: the subnet.
        run: the run.
        out: the part to remove.
    """
    connection.execute(
        sa.delete(SPARES).where(SPARES.c.pool_id == pool_id, SPARES.c.first == to_text(run.first))
    )
    if run.first < out.first:
        add(connection, pool_id, Block(run.first, out.first - 1))
    if out.last < run.last:
        add(connection, pool_id, Block(out.last + 1, run.last))


def _find(
    connection: sa.Connection, query: "sa.Select[tuple[str, str, str]]", *, last: bool = False
) -> Block | None:
    order = SPARES.c.first.desc() if last else SPARES.c.first
    found = Latest.read(
        connection,
        query.order_by(order).limit(1),
        lambda row: Block(int(row.first), int(row.last)),
        write=True,
    )
    return found[0] if found else None
