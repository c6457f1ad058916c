"""Reclaiming, at central, parts of leases that a site returns.

A site names the lease under which a part was granted to it, and the part is taken from that one
alone. So a repeated or late call does not affect leases that were granted since.
"""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.lease import Block, Lease, rest_id
from isthmus.model.site import CENTRAL
from isthmus.store.leases import lease as store


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a lease that a site returns."""

    origin: str  #: the id under which the lease was granted
    block: Block


@dataclass(frozen=True, slots=True)
class Kept:
    """Numbers of a part that do not become free, as far as central knows."""

    again: Sequence[Block] = ()  #: granted to the site again, which uses some of them
    central: Sequence[Block] = ()  #: central's from then on


def take_back(
    connection: sa.Connection,
    held: Iterable[Lease],
    parts: Iterable[Part],
    *,
    find_kept: Callable[[Block], Kept],
    now: datetime.datetime,
) -> None:
    """Reclaim parts from the leases under which they were granted.

    What is granted to the site again has ids of its own: the site learns them from the answer, and
    continues to use the numbers.

    Args:
        connection: of the transaction, which has locked the pool.
        held: the site's leases of the pool, as currently committed.
        parts: what it returns.
        find_kept: returns which numbers of a block do not become free.
        now: the time.
    """
    left = list(held)
    for part in parts:
        for lease in [one for one in left if one.root == part.origin]:
            if not lease.block.overlaps(part.block):
                continue
            left.remove(lease)
            gone = Block(
                max(lease.block.first, part.block.first), min(lease.block.last, part.block.last)
            )
            left += _cut(connection, lease, gone, now)
            kept = find_kept(gone)
            for site, blocks in ((CENTRAL, kept.central), (lease.site, kept.again)):
                for block in blocks:
                    store.insert(connection, lease.kind, lease.pool_id, site, block, now=now)


def _cut(
    connection: sa.Connection, lease: Lease, gone: Block, now: datetime.datetime
) -> list[Lease]:
    """Cut a part out of a lease, and return what is left of it."""
    left = []
    if gone.first == lease.block.first:
        store.delete(connection, [lease.id])
    else:
        store.shrink(connection, lease.id, gone.first - 1)
        left.append(dataclasses.replace(lease, block=Block(lease.block.first, gone.first - 1)))
    if gone.last < lease.block.last:
        rest = Block(gone.last + 1, lease.block.last)
        made = store.insert(
            connection,
            lease.kind,
            lease.pool_id,
            lease.site,
            rest,
            now=now,
            rest=(rest_id(lease.root, rest.first), lease.root),
        )
        left.append(made)
    return left
