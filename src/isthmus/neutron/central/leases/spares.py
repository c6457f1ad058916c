"""The next address that central gives out: the first one of its own that no port has."""

from isthmus.federation.leases import lease as arithmetic
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import CENTRAL
from isthmus.neutron.central.leases import pool, usage
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import resting, spare

#: Most addresses whose rest is ended at a time.
_MOST_RESTED = 64


def take(locked: pool.Locked, wanted: int, more: int) -> list[int]:
    """Take so many addresses for ports; they are given out in this transaction.

    Args:
        locked: the pool.
        wanted: how many.
        more: how many central leases to itself at a time.

    Raises:
        Exhausted: fewer are left.
    """
    found: list[int] = []
    while len(found) < wanted:
        taken = spare.take(locked.connection, locked.id, wanted - len(found))
        if not taken:
            _refill(locked, max(wanted - len(found), more))
            continue
        # Should one be in use all the same, it was not spare, and now it is that no more.
        used = set(usage.find_used_of(locked.connection, locked.id, taken))
        found += [number for number in taken if number not in used]
    return found


def _refill(locked: pool.Locked, count: int) -> None:
    """Put in what has rested enough, else what is leased anew.

    Raises:
        Exhausted: there is neither.
    """
    connection = locked.connection
    while rested := resting.find_rested(connection, locked.id, _MOST_RESTED):
        resting.delete(connection, locked.id, rested)
        own = [number for number in rested if _is_own(locked, number)]
        pools = pool.list_blocks(connection, locked.id)
        inside = arithmetic.intersect((Block(number, number) for number in own), pools)
        for block in arithmetic.merge(inside):
            spare.add(connection, locked.id, block)
        # Of its own accord Neutron gives nothing out beyond the pools: nobody holds that any more.
        for number in own:
            if not any(number in block for block in inside):
                pool.let_go(locked, number)
        if inside:
            return
    for lease in _lease(locked, count):
        spare.add(connection, locked.id, lease)


def _lease(locked: pool.Locked, count: int) -> list[Block]:
    """Lease more to central and give just what is new: it joins what central has."""
    before = pool.read(locked)
    pool.lease_more(before, CENTRAL, count)
    old = [lease.block for lease in before.held_by(CENTRAL)]
    new = [lease.block for lease in pool.read(locked).held_by(CENTRAL)]
    return arithmetic.subtract(new, old)


def _is_own(locked: pool.Locked, number: int) -> bool:
    lease = lease_store.find_covering(locked.connection, PoolKind.SUBNET, locked.id, number)
    return lease is not None and lease.site == CENTRAL
