"""Returns of leases: by sites to central, and of central's own unused blocks."""

import functools
from collections.abc import Iterable, Sequence

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.lease import Block
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.central.leases import usage
from isthmus.neutron.central.leases.pool import Locked, Pool, find_restless, reclaim, to_address
from isthmus.neutron.db.session import now
from isthmus.store.leases import give_back as store
from isthmus.store.leases.give_back import Part


def take_back(pool: Pool, site: SiteName, parts: Iterable[Part]) -> None:
    """Reclaim parts that a site returns from the leases under which they were granted.

    A part of which central knows a number in use or at rest is granted to the site again.

    Args:
        pool: the locked pool.
        site: the holder.
        parts: what it returns.
    """
    store.take_back(
        pool.connection,
        pool.held_by(site),
        parts,
        is_idle=functools.partial(_is_idle, pool.locked),
        now=now(),
    )


def _is_idle(locked: Locked, block: Block) -> bool:
    """Return whether no number of a block is in use, or may be in use as far as central knows."""
    if usage.find_used(locked.connection, locked.kind, locked.id, block):
        return False
    return not find_restless(locked, block)


def reclaim_for_pools(pool: Pool, old: Sequence[Block], new: Sequence[Block]) -> None:
    """Reclaim what central holds and does not use, so that a subnet's pools can change.

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
