"""Allocates port keys to the ports of a site, from the site's leases."""

import functools
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus import errors
from isthmus.federation.leases import key as choice
from isthmus.model.lease import Block, PoolKind
from isthmus.neutron.local.owned import applying
from isthmus.store.leases import lease
from isthmus.store.ports import port_key
from isthmus.store.tiers import epoch


@dataclass(frozen=True, slots=True)
class Allocation:
    """An allocated key and how many free ones are left."""

    key: int
    fresh_left: int

    @property
    def low(self) -> bool:
        """Return whether the next block should be requested."""
        return self.fresh_left < choice.LOW_WATER


def allocate(connection: sa.Connection, network_id: str, port_id: str) -> Allocation | None:
    """Allocate a key to a port in the caller's transaction; a port that has one keeps it.

    Returns:
        None where the network is not stretched.

    Raises:
        Exhausted: no key is left in the site's leases; its fields are kind and pool_id.
        Busy: the site was restored and has not recovered yet.
    """
    if not port_key.lock_network(connection, network_id):
        return None
    blocks = list_blocks(connection, network_id)
    highest = functools.cache(functools.partial(port_key.find_highest, connection, network_id))
    fresh = choice.count_fresh(blocks, highest)
    held = port_key.find_key(connection, port_id)
    if held is not None:
        return Allocation(held, fresh)
    epoch.require_recovered(connection, for_central=applying.current() is not None)
    key = port_key.find_own(connection, network_id, port_id)
    if key is not None and not any(key in block for block in blocks):
        key = None  # its lease is gone
    if key is None:
        key = choice.choose_fresh(blocks, highest)
    if key is None:
        key = port_key.find_rested(connection, network_id, blocks)
    if key is None:
        raise errors.Exhausted(
            f"no port key of network {network_id} is left in this site's leases; central has to "
            "be reachable for the next block",
            kind=PoolKind.PORT_KEY.value,
            pool_id=network_id,
        )
    port_key.insert(connection, port_id, network_id, key)
    return Allocation(key, max(fresh - 1, 0))


def list_blocks(connection: sa.Connection, network_id: str) -> list[Block]:
    """List the site's blocks of a network's keys, as currently committed."""
    held = lease.read_latest(connection, PoolKind.PORT_KEY, network_id, write=False)
    return [one.block for one in held]
