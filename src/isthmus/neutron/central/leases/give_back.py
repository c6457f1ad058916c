"""Returns of leases: by sites to central, and of central's own unused blocks."""

import functools
from collections.abc import Iterable, Sequence

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.intent import What
from isthmus.model.lease import Block
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.central.leases import usage
from isthmus.neutron.central.leases.at_rest import find_elsewhere
from isthmus.neutron.central.leases.pool import (
    Locked,
    Pool,
    find_restless,
    reclaim,
    tell,
    to_address,
)
from isthmus.neutron.db.session import now
from isthmus.store.leases import give_back as store
from isthmus.store.leases.give_back import Part


def take_back(pool: Pool, site: SiteName, parts: Iterable[Part]) -> None:
    """Reclaim parts that a site returns from the leases under which they were granted.

    A part of which central knows a number in use by a port of the site is granted to it again, but
    without the numbers that others have, or that rest: those are central's from then on.

    Args:
        pool: the locked pool.
        site: the holder.
        parts: what it returns.
    """
    returned = list(parts)
    held = pool.leases_of(site)
    real = [one.block for one in returned if any(one.block.overlaps(of.block) for of in held)]
    tell(locked=pool.locked, what=What.LEASE_RETURNED, site=site, blocks=real)
    store.take_back(
        pool.connection,
        held,
        returned,
        find_kept=functools.partial(_find_kept, pool.locked, site),
        now=now(),
    )


def _find_kept(locked: Locked, site: SiteName, block: Block) -> store.Kept:
    used = usage.find_used(locked.connection, locked.kind, locked.id, block)
    others = find_elsewhere(locked.connection, locked.id, site, used)
    foreign = arithmetic.merge(
        Block(one, one) for one in others | set(find_restless(locked, block))
    )
    own = set(used) - others
    return store.Kept(arithmetic.subtract([block], foreign) if own else (), foreign)


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
