"""What central recalls of sites' leases, until they have answered.

At central a row stays until the site has answered; at the site until central has received the
answer. There nothing is left to cut out of a lease once `wanted` is 0.
"""

from collections.abc import Collection

import sqlalchemy as sa

from isthmus.model.lease import Block, Lease, LeaseId
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.tables import JOURNAL, RECALLS


def record(connection: sa.Connection, lease: Lease, block: Block, count: int) -> None:
    """Recall up to `count` idle numbers of a part of a lease; the caller holds the pool.

    A second recall is merged with the first: the part then spans both.

    Args:
        connection: of the transaction.
        lease: the lease.
        block: the part of it.
        count: how many idle numbers at most.
    """
    before = connection.execute(
        sa.select(RECALLS).where(RECALLS.c.lease_id == lease.id).with_for_update()
    ).one_or_none()
    if before is not None:
        delete(connection, lease.site, [lease.id])
        asked = Block(int(before.first), int(before.last))
        both = Block(min(block.first, asked.first), max(block.last, asked.last))
        # All between two parts alone is sure to hold both.
        count = max(count, before.wanted) if both == block == asked else both.size
        block = both
    connection.execute(
        sa.insert(RECALLS).values(
            lease_id=lease.id,
            pool_id=lease.pool_id,
            site=lease.site,
            first=to_text(block.first),
            last=to_text(block.last),
            wanted=min(count, 2**31 - 1),
        )
    )


def list_of(
    connection: sa.Connection, lease_ids: Collection[LeaseId]
) -> dict[LeaseId, tuple[Block, int]]:
    """List what is recalled of leases: a part of each, and how many numbers of it."""
    query = sa.select(RECALLS).where(RECALLS.c.lease_id.in_(list(lease_ids)))
    return {
        LeaseId(row.lease_id): (Block(int(row.first), int(row.last)), row.wanted)
        for row in connection.execute(query)
    }


def lock(connection: sa.Connection, lease_id: str) -> tuple[Block, int] | None:
    """Return what is recalled of a lease, as currently committed, and lock it; None for nothing."""
    query = sa.select(RECALLS).where(RECALLS.c.lease_id == lease_id).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else (Block(int(row.first), int(row.last)), row.wanted)


def list_in(connection: sa.Connection, pool_id: str) -> dict[LeaseId, tuple[Block, int]]:
    """List what is recalled of the leases of a pool."""
    query = sa.select(RECALLS).where(RECALLS.c.pool_id == pool_id)
    return {
        LeaseId(row.lease_id): (Block(int(row.first), int(row.last)), row.wanted)
        for row in connection.execute(query)
    }


def list_pools(connection: sa.Connection) -> set[str]:
    """List the pools with recalls, including those that are done."""
    return set(connection.scalars(sa.select(RECALLS.c.pool_id).distinct()))


def mark_done(connection: sa.Connection, lease_id: str) -> None:
    """Record, at a site, that the idle numbers were cut out of a lease."""
    connection.execute(sa.update(RECALLS).where(RECALLS.c.lease_id == lease_id).values(wanted=0))


def delete_done(connection: sa.Connection, lease_ids: Collection[str]) -> None:
    """Delete, at a site, recalls whose answer central has, unless it has recalled more since."""
    connection.execute(
        sa.delete(RECALLS).where(RECALLS.c.lease_id.in_(list(lease_ids)), RECALLS.c.wanted == 0)
    )


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


def delete(connection: sa.Connection, site: SiteName, lease_ids: Collection[str]) -> None:
    """Delete the recalls that a site has answered."""
    connection.execute(
        sa.delete(RECALLS).where(RECALLS.c.site == site, RECALLS.c.lease_id.in_(list(lease_ids)))
    )


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the recalls of a site."""
    connection.execute(sa.delete(RECALLS).where(RECALLS.c.site == site))


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Delete the recalls of a pool."""
    connection.execute(sa.delete(RECALLS).where(RECALLS.c.pool_id == pool_id))
