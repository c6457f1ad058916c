"""What sites give back of their leases, and what central gives back of its own.

A site names the lease under which a part was granted to it, and the part is taken out of that one
alone. So a call that is made again, or that comes late, takes nothing out of what came later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.lease import Block, Lease, rest_id
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.central.leases import usage
from isthmus.neutron.central.leases.pool import Locked, Pool, find_restless, reclaim, to_address
from isthmus.neutron.db.session import now
from isthmus.store.leases import lease as store


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a lease that a site gives back."""

    origin: str  #: the id under which the lease was granted
    block: Block


def take_back(pool: Pool, site: SiteName, parts: Iterable[Part]) -> None:
    """Take back what a site gives, out of the leases under which it was granted.

    A part of which central still knows a number in use, or at rest, is granted to the site again,
    under an id of its own: the site learns it from the answer, and goes on using it.

    Args:
        pool: the locked pool.
        site: who gives.
        parts: what it gives.
    """
    held = pool.held_by(site)
    for part in parts:
        for lease in [one for one in held if one.root == part.origin]:
            if not lease.block.overlaps(part.block):
                continue
            held.remove(lease)
            gone = Block(
                max(lease.block.first, part.block.first), min(lease.block.last, part.block.last)
            )
            held += _cut(pool.locked, lease, gone)
            if not _is_idle(pool.locked, gone):
                locked = pool.locked
                store.insert(locked.connection, locked.kind, locked.id, site, gone, now=now())


def _cut(locked: Locked, lease: Lease, gone: Block) -> list[Lease]:
    """Take a part out of a lease, and give what is left of it."""
    connection, left = locked.connection, []
    if gone.first == lease.block.first:
        store.delete(connection, [lease.id])
    else:
        store.shrink(connection, lease.id, gone.first - 1)
        left.append(
            Lease(
                id=lease.id,
                kind=lease.kind,
                pool_id=lease.pool_id,
                site=lease.site,
                block=Block(lease.block.first, gone.first - 1),
                origin=lease.origin,
            )
        )
    if gone.last < lease.block.last:
        rest = Block(gone.last + 1, lease.block.last)
        made = store.insert(
            connection,
            locked.kind,
            locked.id,
            lease.site,
            rest,
            now=now(),
            rest=(rest_id(lease.root, rest.first), lease.root),
        )
        left.append(made)
    return left


def _is_idle(locked: Locked, block: Block) -> bool:
    """Tell whether nobody has, and nobody is thought to have, a number of a block."""
    if usage.find_used(locked.connection, locked.kind, locked.id, block):
        return False
    return not find_restless(locked, block)


def check_pools(pool: Pool, old: Sequence[Block], new: Sequence[Block]) -> None:
    """Tell whether a subnet's allocation pools may change; frees what central does not use.

    Raises:
        InUse: a site holds a block that would be cut.
    """
    lost = arithmetic.subtract(old, new)
    for lease in pool.leases:
        if lease.site != CENTRAL and any(lease.block.overlaps(hole) for hole in lost):
            raise errors.InUse(
                f"addresses {to_address(lease.block.first)} to {to_address(lease.block.last)} are "
                f"leased to site {lease.site}: the allocation pools must keep them"
            )
    reclaim(pool)
