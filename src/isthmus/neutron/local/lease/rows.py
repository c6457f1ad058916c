"""The site's leases in its own database.

An answer of central lists every block of a pool that the site holds, and may be old when it comes.
So an answer only ever adds: a block leaves the table when the site itself gives it back. What is
given back leaves a tombstone for longer than any answer can be under way, so that an old one does
not bring the block back to life after central has given it to somebody else.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from isthmus import errors
from isthmus.federation import lease as arithmetic
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import SiteName
from isthmus.store.clock import utc_after, utc_now
from isthmus.store.tables import LEASES, NUMBER_LENGTH

#: The kind of a tombstone.
RETURNED = "returned"
#: How long a tombstone stands, in seconds: far longer than a call or a claim of a batch may take.
REST_S = 600.0

_ALIAS = LEASES.alias()


def read_blocks(connection: sa.Connection, kind: PoolKind, pool_id: str) -> list[Block]:
    """Read the site's blocks of a pool, oldest first."""
    return [block for _, block in read_leases(connection, kind, pool_id)]


def read_leases(
    connection: sa.Connection,
    kind: PoolKind,
    pool_id: str,
    *,
    older_s: float | None = None,
) -> list[tuple[str, Block]]:
    """Read the ids and blocks of the site's leases of a pool, oldest first.

    Args:
        connection: where.
        kind: what the pool holds.
        pool_id: the pool.
        older_s: only leases that came at least so many seconds ago, by the database's clock.
    """
    query = (
        sa.select(LEASES.c.id, LEASES.c.first, LEASES.c.last)
        .where(LEASES.c.pool_id == pool_id, LEASES.c.kind == kind.value)
        .order_by(LEASES.c.created_at, LEASES.c.first)
    )
    if older_s is not None:
        query = query.where(LEASES.c.created_at <= utc_after(-older_s))
    return [
        (row.id, Block(int(row.first), int(row.last))) for row in connection.execute(query).all()
    ]


def find_pools(connection: sa.Connection, kind: PoolKind) -> list[str]:
    """List the pools that the site holds, or has just given up, blocks of."""
    kinds = [kind.value, *([RETURNED] if kind is PoolKind.SUBNET else [])]
    query = sa.select(LEASES.c.pool_id).distinct().where(LEASES.c.kind.in_(kinds))
    return list(connection.scalars(query))


def add(
    connection: sa.Connection, site: SiteName, states: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Take leases that central says the site holds.

    Args:
        connection: where.
        site: this site.
        states: in the form in which leases travel.

    Returns:
        The ids of those that were not there before.

    Raises:
        ProtocolError: a state has not the form of a lease, or is of another site.
    """
    rows = [_row(site, state) for state in states]
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    there = set(connection.scalars(sa.select(LEASES.c.id).where(LEASES.c.id.in_(ids))))
    fresh = [row for row in rows if row["id"] not in there]
    for row in fresh:
        if connection.dialect.name == "sqlite":
            connection.execute(sqlite.insert(LEASES).values(row).on_conflict_do_nothing())
        else:
            connection.execute(
                mysql.insert(LEASES).values(row).on_duplicate_key_update(site=LEASES.c.site)
            )
    return [row["id"] for row in fresh]


def _row(site: SiteName, state: Mapping[str, Any]) -> dict[str, Any]:
    try:
        block = Block(int(state["first"]), int(state["last"]))
        row = {
            "id": str(state["id"]),
            "kind": PoolKind(state["kind"]).value,
            "pool_id": str(state["pool_id"]),
            "site": str(state["site"]),
            "first": str(block.first).zfill(NUMBER_LENGTH),
            "last": str(block.last).zfill(NUMBER_LENGTH),
            "created_at": utc_now(),
        }
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise errors.ProtocolError(f"not a lease: {str(dict(state))[:200]}") from error
    if row["site"] != site:
        raise errors.ProtocolError(f"lease {row['id']} is of site {row['site']}, not of {site}")
    return row


def bury(connection: sa.Connection, ids: Collection[str]) -> None:
    """Stop using leases; central is told once nobody can still be picking from them."""
    if not ids:
        return
    going = LEASES.alias()
    # A tombstone of the same block, leased and given back before, makes room.
    connection.execute(
        sa.delete(LEASES).where(
            LEASES.c.kind == RETURNED,
            LEASES.c.id.in_(
                sa.select(
                    sa.select(_ALIAS.c.id)
                    .join(
                        going,
                        sa.and_(
                            going.c.pool_id == _ALIAS.c.pool_id, going.c.first == _ALIAS.c.first
                        ),
                    )
                    .where(going.c.id.in_(ids), _ALIAS.c.kind == RETURNED)
                    .subquery()
                    .c.id
                )
            ),
        )
    )
    connection.execute(
        sa.update(LEASES).where(LEASES.c.id.in_(ids)).values(kind=RETURNED, created_at=utc_now())
    )


def lock(connection: sa.Connection, lease_id: str) -> Block | None:
    """Find the block of a lease and hold it against everybody who takes a number of it."""
    row = connection.execute(
        sa.select(LEASES.c.first, LEASES.c.last)
        .where(LEASES.c.id == lease_id, LEASES.c.kind == PoolKind.SUBNET.value)
        .with_for_update()
    ).one_or_none()
    return None if row is None else Block(int(row.first), int(row.last))


def cut_out(
    connection: sa.Connection,
    site: SiteName,
    pool_id: str,
    lease_id: str,
    runs: Iterable[Block],
) -> None:
    """Stop using parts of a lease, the highest first; the caller holds it.

    What is left above a run becomes a lease of its own, under the id that central gives it too.
    """
    for run in runs:
        block = lock(connection, lease_id)
        assert block is not None, "it is held"
        assert block.first <= run.first, "cut from the top"
        _clear(connection, pool_id, run.first)
        values = {"pool_id": pool_id, "site": site, "created_at": utc_now()}
        if run.first == block.first:  # the lease itself is the tombstone: an old answer names it
            connection.execute(
                sa.update(LEASES)
                .where(LEASES.c.id == lease_id)
                .values(kind=RETURNED, last=_text(run.last), created_at=utc_now())
            )
        else:
            connection.execute(
                sa.update(LEASES).where(LEASES.c.id == lease_id).values(last=_text(run.first - 1))
            )
            connection.execute(
                sa.insert(LEASES).values(
                    id=str(uuid.uuid4()),
                    kind=RETURNED,
                    first=_text(run.first),
                    last=_text(run.last),
                    **values,
                )
            )
        if run.last < block.last:
            connection.execute(
                sa.insert(LEASES).values(
                    id=arithmetic.rest_id(lease_id, run.last + 1),
                    kind=PoolKind.SUBNET.value,
                    first=_text(run.last + 1),
                    last=_text(block.last),
                    **values,
                )
            )


def blocks_of(states: Iterable[Mapping[str, Any]]) -> list[Block]:
    """Read the blocks of leases in the form in which they travel.

    Raises:
        ProtocolError: one has not that form.
    """
    try:
        return [Block(int(state["first"]), int(state["last"])) for state in states]
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise errors.ProtocolError("central's answer lists what is no lease") from error


def _clear(connection: sa.Connection, pool_id: str, first: int) -> None:
    """Make room for a tombstone where one of the same number stands."""
    connection.execute(
        sa.delete(LEASES).where(
            LEASES.c.kind == RETURNED, LEASES.c.pool_id == pool_id, LEASES.c.first == _text(first)
        )
    )


def _text(number: int) -> str:
    return str(number).zfill(NUMBER_LENGTH)


def read_untold(
    connection: sa.Connection, pool_id: str, *, older_s: float
) -> list[tuple[str, Block]]:
    """Read the leases that were buried a while ago and that central has not been told of."""
    query = sa.select(LEASES.c.id, LEASES.c.first, LEASES.c.last).where(
        LEASES.c.pool_id == pool_id,
        LEASES.c.kind == RETURNED,
        LEASES.c.site != "",
        LEASES.c.created_at <= utc_after(-older_s),
    )
    return [
        (row.id, Block(int(row.first), int(row.last))) for row in connection.execute(query).all()
    ]


def revive(connection: sa.Connection, kind: PoolKind, ids: Collection[str]) -> None:
    """Use buried leases again, since something of them was taken at the last moment."""
    connection.execute(sa.update(LEASES).where(LEASES.c.id.in_(ids)).values(kind=kind.value))


def mark_told(connection: sa.Connection, ids: Collection[str]) -> None:
    """Note that central has taken leases back; their tombstones stand for a while yet."""
    connection.execute(
        sa.update(LEASES).where(LEASES.c.id.in_(ids)).values(site="", created_at=utc_now())
    )


def clear_buried(connection: sa.Connection) -> None:
    """Remove tombstones that have stood long enough."""
    connection.execute(
        sa.delete(LEASES).where(
            LEASES.c.kind == RETURNED,
            LEASES.c.site == "",
            LEASES.c.created_at < utc_after(-REST_S),
        )
    )


def remove(connection: sa.Connection, lease_id: str) -> None:
    """Forget a lease that central has taken back with its pool."""
    connection.execute(sa.delete(LEASES).where(LEASES.c.id == lease_id))
