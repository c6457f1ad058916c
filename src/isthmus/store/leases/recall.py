"""What central recalls of sites' leases, until they have answered.

At central a row stays until the site has answered; at the site until central has received the
answer, and then as long as the lease, because what central said may be delivered once more. There
nothing is left to cut out of a lease once `wanted` is 0.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus.model.lease import Block, Lease, LeaseId
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.tables import JOURNAL, LEASES, RECALLS

_MOST_WANTED = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What is recalled of a lease."""

    id: str
    block: Block  #: a part of the lease
    wanted: int  #: how many idle numbers of it at most; at a site 0 once they are cut out


def record(connection: sa.Connection, lease: Lease, block: Block, count: int) -> Recall:
    """Recall up to `count` idle numbers of a part of a lease; the caller has locked the pool.

    A second recall is merged with the first, and holds what both are sure to ask for.

    Args:
        connection: of the transaction.
        lease: the lease.
        block: the part of it.
        count: how many idle numbers at most.
    """
    before = lock(connection, lease.id)
    if before is not None:
        block, count = _merge((before.block, before.wanted), (block, count))
    asked = Recall(id=str(uuid.uuid4()), block=block, wanted=min(count, _MOST_WANTED))
    _put(connection, lease, asked)
    return asked


def _merge(one: tuple[Block, int], other: tuple[Block, int]) -> tuple[Block, int]:
    """Return the part that two recalls ask for, and how many numbers of it at most. Pure."""
    if one[0] == other[0]:
        return one[0], max(one[1], other[1])
    for (whole, some), (part, wanted) in ((one, other), (other, one)):
        within = whole.first <= part.first and part.last <= whole.last
        if within and some < whole.size and wanted >= part.size:
            # So many of the whole, and just these: so many around these, or the site would give
            # back all that it does not use.
            size = max(some, part.size)
            first = max(whole.first, min(part.first, whole.last - size + 1))
            return Block(first, first + size - 1), size
    # All between two parts alone is sure to hold both.
    both = Block(min(one[0].first, other[0].first), max(one[0].last, other[0].last))
    return both, both.size


def take(connection: sa.Connection, lease: Lease, asked: Recall) -> None:
    """Record, at a site, what central recalls; one that was carried out is only answered again.

    A later one holds all that an earlier one asked for and central has no answer to.
    """
    query = sa.select(RECALLS.c.id).where(RECALLS.c.lease_id == lease.id).with_for_update()
    if connection.scalar(query) != asked.id:
        _put(connection, lease, asked)
        return
    connection.execute(sa.update(RECALLS).where(RECALLS.c.id == asked.id).values(heard=False))


def _put(connection: sa.Connection, lease: Lease, asked: Recall) -> None:
    forget(connection, [lease.id])
    connection.execute(
        sa.insert(RECALLS).values(
            lease_id=lease.id,
            pool_id=lease.pool_id,
            site=lease.site,
            first=to_text(asked.block.first),
            last=to_text(asked.block.last),
            id=asked.id,
            wanted=asked.wanted,
        )
    )


def _parse(row: Any) -> Recall:
    block = Block(int(row.first), int(row.last))
    return Recall(id=row.id, block=block, wanted=int(row.wanted))


def list_of(connection: sa.Connection, lease_ids: Collection[LeaseId]) -> dict[LeaseId, Recall]:
    """List what is recalled of leases."""
    query = sa.select(RECALLS).where(RECALLS.c.lease_id.in_(list(lease_ids)))
    return {LeaseId(row.lease_id): _parse(row) for row in connection.execute(query)}


def lock(connection: sa.Connection, lease_id: str) -> Recall | None:
    """Return what is recalled of a lease, as currently committed, and lock it; None for nothing."""
    query = sa.select(RECALLS).where(RECALLS.c.lease_id == lease_id).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else _parse(row)


def list_in(connection: sa.Connection, pool_id: str) -> dict[LeaseId, Recall]:
    """List what is recalled of the leases of a pool and central has no answer to."""
    query = sa.select(RECALLS).where(RECALLS.c.pool_id == pool_id, RECALLS.c.heard.is_(sa.false()))
    return {LeaseId(row.lease_id): _parse(row) for row in connection.execute(query)}


def list_pools(connection: sa.Connection) -> set[str]:
    """List the pools with recalls to which central has no answer."""
    query = sa.select(RECALLS.c.pool_id).where(RECALLS.c.heard.is_(sa.false()))
    return set(connection.scalars(query.distinct()))


def mark_done(connection: sa.Connection, lease_id: str) -> None:
    """Record, at a site, that the idle numbers were cut out of a lease."""
    connection.execute(sa.update(RECALLS).where(RECALLS.c.lease_id == lease_id).values(wanted=0))


def mark_heard(connection: sa.Connection, ids: Collection[str]) -> None:
    """Record, at a site, that central has the answer to recalls; those of no lease are deleted."""
    heard = sa.and_(RECALLS.c.id.in_(list(ids)), RECALLS.c.wanted == 0)
    connection.execute(sa.update(RECALLS).where(heard).values(heard=True))
    connection.execute(sa.delete(RECALLS).where(heard, RECALLS.c.lease_id.not_in(_select_leases())))


def _select_leases() -> "sa.Select[tuple[str]]":
    return sa.select(LEASES.c.id)


def is_asked(connection: sa.Connection, pool_id: str, sites: Collection[SiteName]) -> bool:
    """Return whether any of these sites has yet to answer a recall of a pool."""
    query = sa.select(RECALLS.c.lease_id).where(
        RECALLS.c.pool_id == pool_id, RECALLS.c.site.in_(list(sites))
    )
    return connection.execute(query.limit(1)).first() is not None


def list_on_way(connection: sa.Connection, pool_id: str) -> set[LeaseId]:
    """List the leases of a pool whose recall has not been delivered yet."""
    query = sa.select(RECALLS.c.lease_id).join(
        JOURNAL,
        sa.and_(
            JOURNAL.c.lane == RECALLS.c.site,
            JOURNAL.c.type == ResourceType.LEASE.value,
            JOURNAL.c.resource_id == RECALLS.c.lease_id,
        ),
    )
    query = query.where(RECALLS.c.pool_id == pool_id, JOURNAL.c.parked == sa.false())
    return {LeaseId(one) for one in connection.scalars(query)}


def end(connection: sa.Connection, site: SiteName, ids: Collection[str]) -> None:
    """Delete the recalls that a site has answered; not one that was merged with more since."""
    connection.execute(
        sa.delete(RECALLS).where(RECALLS.c.site == site, RECALLS.c.id.in_(list(ids)))
    )


def forget(connection: sa.Connection, lease_ids: Collection[str]) -> None:
    """Delete what is recalled of leases."""
    connection.execute(sa.delete(RECALLS).where(RECALLS.c.lease_id.in_(list(lease_ids))))


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the recalls of a site."""
    connection.execute(sa.delete(RECALLS).where(RECALLS.c.site == site))


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Delete the recalls of a pool."""
    connection.execute(sa.delete(RECALLS).where(RECALLS.c.pool_id == pool_id))
