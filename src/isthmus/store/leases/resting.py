"""Addresses at rest: a port released them, and others may still believe them to be that port's.

Central tells the port's home, and every site with its shadow, by intents that are recorded in the
transaction that frees the address. So the address has rested enough once no intent of that port is
left: by acknowledgement, not by a clock. A site checks first whether it has reported the port to
central, and then asks central the same about the other sites.
"""

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from isthmus.model.lease import Block, Lease, find_block
from isthmus.model.resource import ResourceType
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.tables import JOURNAL, RESTING
from isthmus.store.sql.upsert import insert_or_update
from isthmus.store.tiers.latest import Latest

#: Types of the intents by which sites are told of a port.
_TYPES = (ResourceType.PORT.value, ResourceType.SHADOW.value)
_CHUNK = 500


def record(connection: sa.Connection, freed: Iterable[tuple[str, int, str]]) -> None:
    """Record (pool, number, port) of addresses that were freed in this transaction."""
    rows = [
        {"pool_id": pool_id, "number": to_text(number), "port_id": port_id}
        for pool_id, number, port_id in sorted(freed)
    ]
    insert = insert_or_update(connection, RESTING, lambda new: {"port_id": new.port_id})
    if rows:
        connection.execute(insert, rows)


def find_port(connection: sa.Connection, pool_id: str, number: int) -> str | None:
    """Return the port that released an address, as currently committed."""
    query = sa.select(RESTING.c.port_id).where(
        RESTING.c.pool_id == pool_id, RESTING.c.number == to_text(number)
    )
    found = Latest.read(connection, query, lambda row: str(row.port_id), write=True)
    return found[0] if found else None


def find_resting(connection: sa.Connection, pool_id: str, numbers: Collection[int]) -> set[int]:
    """Return which numbers of a pool rest, as currently committed."""
    texts, found = sorted(to_text(number) for number in numbers), set[int]()
    for start in range(0, len(texts), _CHUNK):
        query = sa.select(RESTING.c.number).where(
            RESTING.c.pool_id == pool_id, RESTING.c.number.in_(texts[start : start + _CHUNK])
        )
        found |= set(Latest.read(connection, query, lambda row: int(row.number), write=False))
    return found


def delete(connection: sa.Connection, pool_id: str, numbers: Collection[int]) -> None:
    """End the rest of addresses."""
    texts = sorted(to_text(number) for number in numbers)
    for start in range(0, len(texts), _CHUNK):
        connection.execute(
            sa.delete(RESTING).where(
                RESTING.c.pool_id == pool_id, RESTING.c.number.in_(texts[start : start + _CHUNK])
            )
        )


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Delete what rests of a deleted pool."""
    connection.execute(sa.delete(RESTING).where(RESTING.c.pool_id == pool_id))


def list_in(connection: sa.Connection, pool_id: str, block: Block) -> list[tuple[int, str]]:
    """List (number, port) of what rests in a block, as currently committed."""
    query = sa.select(RESTING.c.number, RESTING.c.port_id).where(
        RESTING.c.pool_id == pool_id,
        RESTING.c.number.between(to_text(block.first), to_text(block.last)),
    )
    return list(
        Latest.read(connection, query, lambda row: (int(row.number), str(row.port_id)), write=True)
    )


def unacknowledged(port_id: "sa.ColumnElement[str]") -> "sa.ColumnElement[bool]":
    """Return a condition: whether any site still has to be told of a port."""
    return (
        sa.select(JOURNAL.c.id)
        .where(JOURNAL.c.resource_id == port_id, JOURNAL.c.type.in_(_TYPES))
        .exists()
    )


def list_acknowledged(
    connection: sa.Connection, pool_id: str, limit: int, *, after: int = -1
) -> list[tuple[int, str]]:
    """List (number, port) of what rests of a pool where this tier has told of the port.

    Args:
        connection: of the transaction.
        pool_id: the pool.
        limit: how many at most, the lowest numbers first.
        after: only numbers above this one.
    """
    query = (
        sa.select(RESTING.c.number, RESTING.c.port_id)
        .where(
            RESTING.c.pool_id == pool_id,
            RESTING.c.number > (to_text(after) if after >= 0 else ""),
            ~unacknowledged(RESTING.c.port_id),
        )
        .order_by(RESTING.c.number)
        .limit(limit)
    )
    return [(int(row.number), str(row.port_id)) for row in connection.execute(query)]


def peek_unacknowledged(
    connection: sa.Connection, leases: Iterable[Lease]
) -> list[tuple[Lease, int, str]]:
    """List (lease, number, port) of what rests in leases while a site has yet to be told of it."""
    by_pool: dict[str, list[Lease]] = {}
    for one in leases:
        by_pool.setdefault(one.pool_id, []).append(one)
    pools, found = sorted(by_pool), list[tuple[Lease, int, str]]()
    blocks = {}
    for pool_id, held in by_pool.items():
        held.sort(key=lambda one: one.block)
        blocks[pool_id] = [one.block for one in held]
    for start in range(0, len(pools), _CHUNK):
        query = sa.select(RESTING).where(
            RESTING.c.pool_id.in_(pools[start : start + _CHUNK]), unacknowledged(RESTING.c.port_id)
        )
        for row in connection.execute(query):
            place = find_block(blocks[row.pool_id], int(row.number))
            if place is not None:
                found.append((by_pool[row.pool_id][place], int(row.number), str(row.port_id)))
    return found


def list_numbers(connection: sa.Connection, pool_id: str) -> set[int]:
    """List the numbers of a pool that rest."""
    query = sa.select(RESTING.c.number).where(RESTING.c.pool_id == pool_id)
    return {int(text) for text in connection.scalars(query)}


def list_pools(connection: sa.Connection) -> list[str]:
    """List the pools with numbers at rest."""
    return list(connection.scalars(sa.select(RESTING.c.pool_id).distinct()))


def find_rested(connection: sa.Connection, pool_id: str, limit: int) -> list[int]:
    """List addresses whose ports every site has been told of, the lowest first."""
    # The journal was a plain read; the decision needs a locking one.
    found = list_acknowledged(connection, pool_id, limit)
    waiting = find_unacknowledged(connection, {port_id for _, port_id in found})
    return [
        number
        for number, port_id in found
        if port_id not in waiting and find_port(connection, pool_id, number) == port_id
    ]


def find_unacknowledged(connection: sa.Connection, port_ids: Collection[str]) -> set[str]:
    """List the ports that some site still has to be told of, as currently committed."""
    ids = sorted(set(port_ids))
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(JOURNAL.c.resource_id).where(
            JOURNAL.c.resource_id.in_(ids[start : start + _CHUNK]), JOURNAL.c.type.in_(_TYPES)
        )
        found |= set(Latest.read(connection, query, lambda row: str(row.resource_id), write=False))
    return found
