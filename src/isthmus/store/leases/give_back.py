"""Taking back, at central, what a site gives of its leases.

A site names the lease under which a part was granted to it, and the part is taken out of that one
alone. So a call that is made again, or that comes late, takes nothing out of what came later.
"""

import dataclasses
import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.lease import Block, Lease, rest_id
from isthmus.store.leases import lease as store


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a lease that a site gives back."""

    origin: str  #: the id under which the lease was granted
    block: Block


def take_back(
    connection: sa.Connection,
    held: Iterable[Lease],
    parts: Iterable[Part],
    *,
    is_idle: Callable[[Block], bool],
    now: datetime.datetime,
) -> None:
    """Take parts out of the leases under which they were granted.

    A part that is not idle is granted to the site again, under an id of its own: the site learns it
    from the answer, and goes on using it.

    Args:
        connection: where; the caller holds the pool.
        held: the site's leases of the pool, as they are committed now.
        parts: what it gives.
        is_idle: tells whether nobody has, and nobody is thought to have, a number of a block.
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
            if not is_idle(gone):
                store.insert(connection, lease.kind, lease.pool_id, lease.site, gone, now=now)


def _cut(
    connection: sa.Connection, lease: Lease, gone: Block, now: datetime.datetime
) -> list[Lease]:
    """Take a part out of a lease, and return what is left of it."""
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
