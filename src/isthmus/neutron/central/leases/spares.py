"""Central's next address: the first spare one of its own leases."""

from isthmus.federation.leases import lease as arithmetic
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import CENTRAL
from isthmus.neutron.central.leases import pool, usage
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import resting, spare

#: Limit of addresses whose rest ends at once.
_MOST_RESTED = 64


def take(locked: pool.Locked, wanted: int, more: int) -> list[int]:
    """Allocate addresses for ports, in this transaction.

    Args:
        locked: the pool.
        wanted: how many.
        more: how many numbers central leases to itself at once.

    Raises:
        Exhausted: fewer are left.
    """
    found: list[int] = []
    while len(found) < wanted:
        taken = spare.take(locked.connection, locked.id, wanted - len(found))
        if not taken:
            _refill(locked, max(wanted - len(found), more))
            continue
        # One that turns out to be in use was not spare, and no longer counts as such.
        used = set(usage.find_used_of(locked.connection, locked.id, taken))
        found += [number for number in taken if number not in used]
    return found


def _refill(locked: pool.Locked, count: int) -> None:
    """Add rested addresses to the spare ones, or newly leased ones.

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
        # Neutron allocates nothing outside the pools unless asked: central releases those numbers.
        for number in own:
            if not any(number in block for block in inside):
                pool.let_go(locked, number)
        if inside:
            return
    for lease in _lease(locked, count):
        spare.add(connection, locked.id, lease)


def _lease(locked: pool.Locked, count: int) -> list[Block]:
    """Lease more numbers to central and return the new blocks; they are merged with its others."""
    before = pool.read(locked)
    pool.lease_more(before, CENTRAL, count)
    old = [lease.block for lease in before.leases_of(CENTRAL)]
    new = [lease.block for lease in pool.read(locked).leases_of(CENTRAL)]
    return arithmetic.subtract(new, old)


def _is_own(locked: pool.Locked, number: int) -> bool:
    lease = lease_store.find_covering(locked.connection, PoolKind.SUBNET, locked.id, number)
    return lease is not None and lease.site == CENTRAL
