"""Leases in SQL; the arithmetic is in `isthmus.federation.leases.lease`.

Numbers are kept as zero-padded decimal text, so that an IPv6 address fits and text order is the
order of the numbers. A caller locks the pool before it leases blocks (`isthmus.store.leases.pool`),
and decides from what `read_latest` returns, never from a plain read: on MariaDB that may show the
table as it was before the lock. As the last guard, each insert checks that no other block overlaps.
"""

import datetime
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.sql.page import Page, read_rows, select_page
from isthmus.store.sql.tables import LEASES, NUMBER_LENGTH, RECALLS
from isthmus.store.tiers import epoch
from isthmus.store.tiers.latest import Latest

#: Ids in one IN (...).
_CHUNK = 500


def list_leases(
    connection: sa.Connection,
    *,
    ids: Collection[str] | None = None,
    kind: PoolKind | None = None,
    pool_ids: Collection[str] | None = None,
    site: SiteName | None = None,
) -> list[Lease]:
    """List leases, in the order of their numbers; None means no filter.

    Args:
        connection: of the transaction.
        ids: ids of leases.
        kind: type of the pools.
        pool_ids: ids of the pools.
        site: the holder.
    """
    query = sa.select(LEASES).order_by(LEASES.c.pool_id, LEASES.c.first)
    if ids is not None:
        query = query.where(LEASES.c.id.in_(list(ids)))
    if kind is not None:
        query = query.where(LEASES.c.kind == kind.value)
    if pool_ids is not None:
        query = query.where(LEASES.c.pool_id.in_(list(pool_ids)))
    if site is not None:
        query = query.where(LEASES.c.site == site)
    return [from_row(row) for row in connection.execute(query)]


def list_rows(
    connection: sa.Connection, pool_ids: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """List the rows of pools as the holdings show them; None means all."""
    query = sa.select(LEASES)
    if pool_ids is not None:
        query = query.where(LEASES.c.pool_id.in_(list(pool_ids)))
    return [_shown(row) for row in read_rows(connection, query)]


def list_page(
    connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[dict[str, Any]]:
    """List leases as an API pages them.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    wanted = dict(filters)
    for name in {"first", "last"} & wanted.keys():
        wanted[name] = [str(one).zfill(NUMBER_LENGTH) for one in wanted[name]]
    return [
        _shown(row) for row in select_page(connection, dict(LEASES.c), filters=wanted, page=page)
    ]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "first": str(int(row["first"])), "last": str(int(row["last"]))}


def read_latest(
    connection: sa.Connection, kind: PoolKind, pool_id: str, *, write: bool = True
) -> Latest[Lease]:
    """Read every lease of a pool as currently committed, and lock them, in the order of numbers.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        write: lock exclusively; otherwise only against changes.
    """
    query = (
        sa.select(LEASES)
        .where(LEASES.c.kind == kind.value, LEASES.c.pool_id == pool_id)
        .order_by(LEASES.c.first)
    )
    return Latest.read(connection, query, from_row, write=write)


def read_overlapping(
    connection: sa.Connection, kind: PoolKind, pool_id: str, block: Block
) -> list[Lease]:
    """Read the leases of a pool that have a number of a block, and lock them, sorted.

    The caller has locked the pool. Only those are read, however many there are; leases do not
    overlap.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        block: the numbers.
    """
    before = find_covering(connection, kind, pool_id, block.first)
    query = (
        sa.select(LEASES)
        .where(
            LEASES.c.kind == kind.value,
            LEASES.c.pool_id == pool_id,
            LEASES.c.first > to_text(block.first),
            LEASES.c.first <= to_text(block.last),
        )
        .order_by(LEASES.c.first)
    )
    inside = Latest.read(connection, query, from_row, write=True)
    return [*([] if before is None else [before]), *inside]


def list_taken(connection: sa.Connection, ids: Collection[str]) -> set[LeaseId]:
    """Return which of these ids a lease has, whoever holds it."""
    wanted, found = sorted(set(ids)), set[LeaseId]()
    for start in range(0, len(wanted), _CHUNK):
        query = sa.select(LEASES.c.id).where(LEASES.c.id.in_(wanted[start : start + _CHUNK]))
        found |= {LeaseId(one) for one in connection.scalars(query)}
    return found


def find_covering(
    connection: sa.Connection, kind: PoolKind, pool_id: str, number: int, *, write: bool = True
) -> Lease | None:
    """Return the lease that holds a number, as currently committed, and lock it.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        number: the number.
        write: lock exclusively; otherwise only against changes.

    Returns:
        None where no lease holds it.
    """
    lease = _find_before(connection, kind, pool_id, number, write=write)
    return lease if lease is not None and number in lease.block else None


def insert(
    connection: sa.Connection,
    kind: PoolKind,
    pool_id: str,
    site: SiteName,
    block: Block,
    *,
    now: datetime.datetime,
    rest: tuple[LeaseId, LeaseId] | None = None,
) -> Lease:
    """Insert a lease of a block; a block of central's is merged with the adjacent ones.

    A site's blocks stay separate, because the site knows each by its id.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        site: the holder.
        block: the numbers.
        now: the time.
        rest: the id of what is left of a lease, and the id under which that was granted; None where
            the block is granted now.

    Raises:
        Busy: a part of it was leased meanwhile, or this tier was restored and has not recovered;
            nothing may be committed.
    """
    epoch.require_recovered(connection)
    if site == CENTRAL:
        block = _absorb(connection, kind, pool_id, block)
    lease = Lease(
        id=rest[0] if rest else LeaseId(str(uuid.uuid4())),
        kind=kind,
        pool_id=pool_id,
        site=site,
        block=block,
        origin=rest[1] if rest else None,
    )
    put(connection, lease, now=now)
    other = _find_before(connection, kind, pool_id, block.last, but=lease.id)
    if other is not None and other.block.overlaps(block):
        raise errors.Busy(
            f"{kind} {pool_id}: {block.first} to {block.last} was leased to {other.site} meanwhile"
        )
    return lease


def put(connection: sa.Connection, lease: Lease, *, now: datetime.datetime) -> None:
    """Insert a lease as it is; allowed in a tier that has not recovered, as this allocates nothing.

    The caller has checked that no other lease overlaps it.
    """
    connection.execute(
        sa.insert(LEASES).values(
            id=lease.id,
            kind=lease.kind.value,
            pool_id=lease.pool_id,
            site=lease.site,
            first=to_text(lease.block.first),
            last=to_text(lease.block.last),
            created_at=now,
            origin=lease.origin,
        )
    )


def _find_before(
    connection: sa.Connection,
    kind: PoolKind,
    pool_id: str,
    number: int,
    *,
    but: LeaseId | None = None,
    write: bool = True,
) -> Lease | None:
    """Return the lease that begins at a number or next below it; blocks do not overlap."""
    query = (
        sa.select(LEASES)
        .where(
            LEASES.c.kind == kind.value,
            LEASES.c.pool_id == pool_id,
            LEASES.c.first <= to_text(number),
        )
        .order_by(LEASES.c.first.desc())
        .limit(1)
    )
    if but is not None:
        query = query.where(LEASES.c.id != but)
    return next(iter(Latest.read(connection, query, from_row, write=write)), None)


def _absorb(connection: sa.Connection, kind: PoolKind, pool_id: str, block: Block) -> Block:
    """Delete central's adjacent leases and return the merged block."""
    for number in (block.first - 1, block.last + 1):
        other = find_covering(connection, kind, pool_id, number) if number >= 0 else None
        if other is not None and other.site == CENTRAL:
            delete(connection, [other.id])
            block = Block(min(block.first, other.block.first), max(block.last, other.block.last))
    return block


def shrink(connection: sa.Connection, lease_id: LeaseId, last: int) -> None:
    """Cut off the tail of a block."""
    connection.execute(sa.update(LEASES).where(LEASES.c.id == lease_id).values(last=to_text(last)))


def hand_over(connection: sa.Connection, lease_ids: Collection[LeaseId], holder: SiteName) -> None:
    """Change the holder of leases."""
    connection.execute(
        sa.update(LEASES).where(LEASES.c.id.in_(list(lease_ids))).values(site=holder)
    )


def hand_over_all(connection: sa.Connection, old: SiteName, new: SiteName) -> None:
    """Change the holder of all leases of a holder."""
    connection.execute(sa.update(LEASES).where(LEASES.c.site == old).values(site=new))


def delete_of_holder(connection: sa.Connection, holder: str) -> None:
    """Delete all leases of a holder."""
    connection.execute(sa.delete(LEASES).where(LEASES.c.site == holder))


def delete(connection: sa.Connection, lease_ids: Collection[LeaseId]) -> None:
    """Delete leases, and their recalls."""
    ids = sorted(lease_ids)
    for start in range(0, len(ids), _CHUNK):
        _delete(connection, LEASES.c.id.in_(ids[start : start + _CHUNK]))


def delete_held(connection: sa.Connection, kind: PoolKind, pool_id: str, site: SiteName) -> None:
    """Delete every lease of a pool that one holder has.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        site: the holder.
    """
    held = LEASES.c.site == site
    _delete(connection, held, LEASES.c.kind == kind.value, LEASES.c.pool_id == pool_id)


def delete_unheld(
    connection: sa.Connection, kind: PoolKind, pool_id: str, holders: Collection[SiteName]
) -> None:
    """Delete the leases of a pool of all holders but some.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the pool.
        holders: those who keep theirs.
    """
    others = LEASES.c.site.not_in(list(holders))
    _delete(connection, others, LEASES.c.kind == kind.value, LEASES.c.pool_id == pool_id)


def _delete(connection: sa.Connection, *where: "sa.ColumnElement[bool]") -> None:
    ids = sa.select(LEASES.c.id).where(*where)
    connection.execute(sa.delete(RECALLS).where(RECALLS.c.lease_id.in_(ids)))
    connection.execute(sa.delete(LEASES).where(*where))


def to_text(number: int) -> str:
    """Return a number as text, as the table has it."""
    return f"{number:0{NUMBER_LENGTH}d}"


def from_row(row: Any) -> Lease:
    """Return the lease of a row."""
    return Lease(
        id=LeaseId(row.id),
        kind=PoolKind(row.kind),
        pool_id=row.pool_id,
        site=SiteName(row.site),
        block=Block(int(row.first), int(row.last)),
        origin=row.origin and LeaseId(row.origin),
    )


def to_state(lease: Lease) -> dict[str, str]:
    """Return a lease in the form in which it is sent."""
    origin = {"origin": lease.origin} if lease.origin else {}
    return {
        **origin,
        "id": lease.id,
        "kind": lease.kind.value,
        "pool_id": lease.pool_id,
        "site": lease.site,
        "first": str(lease.block.first),
        "last": str(lease.block.last),
    }
