"""A site's own leases, in its database.

An answer of central lists every block of a pool that the site holds, and may be outdated when it
arrives. So what it does not list stays, and it does not restore what the site has returned of a
lease (`isthmus.store.leases.returns`). But under one id a lease only ever gets smaller, in both
tiers. So what an answer lists smaller than the site has it is smaller for good.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.lease import Block, LeaseEvent, LeaseState, PoolKind, rest_id
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane
from isthmus.store.leases import recall, returns
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.clock import is_older, utc_now
from isthmus.store.sql.tables import LEASES
from isthmus.store.sql.upsert import insert_or_keep


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
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        older_s: only leases that arrived at least so many seconds ago, by the database's clock.
    """
    query = (
        sa.select(LEASES.c.id, LEASES.c.first, LEASES.c.last)
        .where(LEASES.c.pool_id == pool_id, LEASES.c.kind == kind.value)
        .order_by(LEASES.c.created_at, LEASES.c.first)
    )
    if older_s is not None:
        query = query.where(is_older(LEASES.c.created_at, older_s))
    return [
        (row.id, Block(int(row.first), int(row.last))) for row in connection.execute(query).all()
    ]


def find_pools(connection: sa.Connection) -> list[str]:
    """List the subnets of which the site holds blocks, or has something to report to central."""
    held = sa.select(LEASES.c.pool_id).where(LEASES.c.kind == PoolKind.SUBNET.value)
    known = (recall.list_pools(connection), returns.list_pools(connection))
    return sorted(set(connection.scalars(held.distinct())).union(*known))


def add(
    connection: sa.Connection, site: SiteName, states: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Insert leases that central says the site holds.

    Args:
        connection: of the transaction.
        site: this site.
        states: in the form in which leases are sent.

    Returns:
        The ids of those that are new.

    Raises:
        ProtocolError: a state is malformed, or of another site.
    """
    rows = [_row(site, state) for state in states]
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    # In this order: what is returned in between is seen as one or the other.
    query = sa.select(LEASES.c.id, LEASES.c.first, LEASES.c.last).where(LEASES.c.id.in_(ids))
    there = {row.id: (row.first, row.last) for row in connection.execute(query)}
    states = returns.list_states(connection, ids) | dict.fromkeys(there, LeaseState.IN_USE)
    fresh = [row for row in rows if states.get(row["id"], LeaseState.ABSENT) is LeaseState.ABSENT]
    for row in fresh:
        connection.execute(insert_or_keep(connection, LEASES).values(row))
    for row in rows:
        first, last = there.get(row["id"], (row["first"], row["last"]))
        if first < row["first"] or last > row["last"]:
            _narrow(connection, row["id"], row["first"], row["last"])
    return [row["id"] for row in fresh]


def refuse_overtaken(
    connection: sa.Connection,
    states: Iterable[Mapping[str, Any]],
    added: Collection[str],
    *,
    seen: int,
    write: bool = False,
) -> None:
    """Refuse the leases of an answer that a batch has overtaken, and the transaction with them.

    What central listed it may have taken back before the answer arrived, and the site has let go:
    by now another site may hold it. Call this last, where nothing else is locked afterwards: so do
    the transactions of a batch, which ask about the lane when they commit.

    Args:
        connection: of the transaction that has added them.
        states: in the form in which leases are sent.
        added: ids of those that were new.
        seen: the newest batch when central was asked.
        write: whether the transaction changes the numbers of the lane afterwards.

    Raises:
        Stale: a batch has dealt with a new one, or with its pool, since then; ask again.
    """
    if added:
        new = [one for one in states if str(one["id"]) in set(added)]
        lane.refuse_overtaken(connection, CENTRAL, seen, list_concerned(new), write=write)


def list_concerned(states: Iterable[Mapping[str, Any]]) -> list[str]:
    """List what a batch deals with that may take leases back: these, and their pools."""
    return sorted({str(one.get(name)) for one in states for name in ("id", "pool_id")})


def _narrow(connection: sa.Connection, lease_id: str, first: str, last: str) -> None:
    """Reduce a lease to what lies between two numbers, whatever it is by now."""
    of_it = LEASES.c.id == lease_id
    outside = sa.or_(LEASES.c.first > last, LEASES.c.last < first)
    connection.execute(sa.delete(LEASES).where(of_it, outside))
    connection.execute(sa.update(LEASES).where(of_it, LEASES.c.last > last).values(last=last))
    connection.execute(sa.update(LEASES).where(of_it, LEASES.c.first < first).values(first=first))


def _row(site: SiteName, state: Mapping[str, Any]) -> dict[str, Any]:
    try:
        block = Block(int(state["first"]), int(state["last"]))
        row = {
            "id": str(state["id"]),
            "kind": PoolKind(state["kind"]).value,
            "pool_id": str(state["pool_id"]),
            "site": str(state["site"]),
            "first": to_text(block.first),
            "last": to_text(block.last),
            "created_at": utc_now(),
            "origin": str(state["origin"]) if state.get("origin") else None,
        }
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise errors.ProtocolError(f"not a lease: {str(state)[:200]}") from error
    if row["site"] != site:
        raise errors.ProtocolError(f"lease {row['id']} is of site {row['site']}, not of {site}")
    return row


def set_aside(connection: sa.Connection, pool_id: str, lease_ids: Collection[str]) -> None:
    """Set whole leases aside; the caller has locked them."""
    for lease_id in lease_ids:
        row = _lock(connection, lease_id)
        if row is not None:
            _give_up(connection, pool_id, row)


def lock(connection: sa.Connection, lease_id: str) -> Block | None:
    """Return the block of a lease and lock it against everybody who takes a number of it."""
    row = _lock(connection, lease_id)
    return None if row is None else Block(int(row.first), int(row.last))


def _lock(connection: sa.Connection, lease_id: str) -> Any:
    query = sa.select(LEASES.c.id, LEASES.c.origin, LEASES.c.first, LEASES.c.last).where(
        LEASES.c.id == lease_id, LEASES.c.kind == PoolKind.SUBNET.value
    )
    return connection.execute(query.with_for_update()).one_or_none()


def _give_up(connection: sa.Connection, pool_id: str, row: Any, *, last: int | None = None) -> None:
    """Move a lease, up to a number, to the returned parts."""
    block = Block(int(row.first), int(row.last) if last is None else last)
    connection.execute(sa.delete(LEASES).where(LEASES.c.id == row.id))
    part = returns.Return(row.id, row.origin or row.id, block)
    returns.record(connection, pool_id, part, LeaseState.IN_USE, LeaseEvent.SET_ASIDE)


def cut_out(
    connection: sa.Connection,
    site: SiteName,
    pool_id: str,
    lease_id: str,
    runs: Iterable[Block],
) -> None:
    """Set parts of a lease aside, the highest first; the caller has locked it.

    What is left above a part becomes a lease of its own, under the id that central derives too.

    Args:
        connection: of the transaction.
        site: this site.
        pool_id: the subnet.
        lease_id: the lease.
        runs: the parts.
    """
    for run in runs:
        row = _lock(connection, lease_id)
        assert row is not None, "it is held"
        block, origin = Block(int(row.first), int(row.last)), row.origin or row.id
        assert block.first <= run.first, "cut from the top"
        if run.first == block.first:  # an old answer names this id
            _give_up(connection, pool_id, row, last=run.last)
        else:
            connection.execute(
                sa.update(LEASES).where(LEASES.c.id == lease_id).values(last=to_text(run.first - 1))
            )
            part = returns.Return(rest_id(origin, run.first), origin, run)
            returns.record(connection, pool_id, part, LeaseState.ABSENT, LeaseEvent.CUT_OUT)
        if run.last < block.last:
            connection.execute(
                sa.insert(LEASES).values(
                    id=rest_id(origin, run.last + 1),
                    kind=PoolKind.SUBNET.value,
                    pool_id=pool_id,
                    site=site,
                    first=to_text(run.last + 1),
                    last=row.last,
                    created_at=utc_now(),
                    origin=origin,
                )
            )


def blocks_of(states: Iterable[Mapping[str, Any]]) -> list[Block]:
    """Return the blocks of leases in the form in which they are sent.

    Raises:
        ProtocolError: one is malformed.
    """
    try:
        return [Block(int(state["first"]), int(state["last"])) for state in states]
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise errors.ProtocolError("central's answer lists a malformed lease") from error


def is_listed(part: returns.Return, states: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether central still lists a part as this site's, under the lease it was granted in.

    Raises:
        ProtocolError: a state is malformed.
    """
    of_it = [one for one in states if part.origin in (one.get("origin"), one.get("id"))]
    return any(part.block.overlaps(one) for one in blocks_of(of_it))


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Delete every lease of a deleted pool, and what was set aside or recalled of it."""
    connection.execute(sa.delete(LEASES).where(LEASES.c.pool_id == pool_id))
    returns.delete_pool(connection, pool_id)
    recall.delete_pool(connection, pool_id)


def remove(connection: sa.Connection, lease_ids: Collection[str]) -> None:
    """Delete leases that central says the site no longer has, and what it recalled of them."""
    if lease_ids:
        connection.execute(sa.delete(LEASES).where(LEASES.c.id.in_(list(lease_ids))))
        recall.forget(connection, lease_ids)
