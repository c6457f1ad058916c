"""Pools and their leases at central: who may give out which addresses and port keys.

A pool is the allocation pools of a subnet, or the port keys of a network. It is locked (its
subnet's or network's row, on MariaDB) before a block is carved, so that two carvings of one pool
follow each other.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.ipam.drivers.neutrondb_ipam import db_models as ipam_models

from isthmus import errors
from isthmus.config.central import CentralConfig
from isthmus.federation import lease as arithmetic
from isthmus.model.lease import Block, Lease, PoolKind
from isthmus.model.ovn import LAST_PORT_KEY
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.db.session import now
from isthmus.store import lease as store

#: Every key that a port may have on a network.
PORT_KEYS = Block(1, LAST_PORT_KEY)


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool, locked, as it stands in this transaction."""

    connection: sa.Connection
    kind: PoolKind
    id: str
    blocks: tuple[Block, ...]
    leases: tuple[Lease, ...]
    used: frozenset[int]  #: addresses that Neutron's IPAM has given out; none for port keys

    def held_by(self, site: SiteName) -> list[Lease]:
        """Give a holder's leases."""
        return [lease for lease in self.leases if lease.site == site]

    @property
    def strays(self) -> list[Block]:
        """Give the addresses in use that nobody holds, from before Isthmus."""
        held = arithmetic.merge(lease.block for lease in self.leases)
        return arithmetic.subtract((Block(one, one) for one in self.used), held)

    @property
    def taken(self) -> list[Block]:
        """Give what cannot be leased any more."""
        return [*(lease.block for lease in self.leases), *self.strays]


def lock(connection: sa.Connection, kind: PoolKind, pool_id: str) -> Pool:
    """Lock a pool and read it.

    Raises:
        NotFound: there is no such subnet or network.
    """
    table = models_v2.Subnet if kind is PoolKind.SUBNET else models_v2.Network
    row = connection.execute(
        sa.select(table.id).where(table.id == pool_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise errors.NotFound(f"there is no pool {kind} {pool_id}")
    leases = store.list_leases(connection, kind=kind, pool_ids=[pool_id])
    if kind is PoolKind.PORT_KEY:
        return Pool(connection, kind, pool_id, (PORT_KEYS,), tuple(leases), frozenset())
    blocks = _allocation_pools(connection, pool_id)
    used = _addresses_in_use(connection, pool_id)
    return Pool(connection, kind, pool_id, tuple(blocks), tuple(leases), used)


def lease_more(pool: Pool, site: SiteName, count: int) -> list[Lease]:
    """Lease up to `count` further numbers, in as few blocks as the pool allows.

    Raises:
        Exhausted: no number is left, not even among those that central holds and does not use.
    """
    pool = _with_room(pool, site)
    free = arithmetic.count(arithmetic.subtract(pool.blocks, pool.taken))
    left = max(1, min(count, free // 2))
    made: list[Lease] = []
    taken = pool.taken
    held = [lease.block for lease in pool.held_by(site)]
    while left > 0:
        try:
            block = arithmetic.carve(pool.blocks, taken, left, held=held)
        except errors.Exhausted:
            if made:
                break
            raise errors.Exhausted(_describe_exhausted(pool)) from None
        made.append(store.insert(pool.connection, pool.kind, pool.id, site, block, now=now()))
        taken.append(block)
        left -= block.size
    return made


def ensure(pool: Pool, site: SiteName, config: CentralConfig) -> list[Lease]:
    """Give a site's leases of a pool, the first one made where it has none.

    Raises:
        Exhausted: there is nothing to lease.
    """
    held = pool.held_by(site)
    if held:
        return held
    free = arithmetic.count(arithmetic.subtract(pool.blocks, pool.taken))
    first = config.first_lease if pool.kind is PoolKind.SUBNET else config.key_lease
    policy = arithmetic.SizePolicy(first=first, largest=max(first, 1024))
    return lease_more(pool, site, arithmetic.choose_size(free, policy))


def lease_address(pool: Pool, site: SiteName, address: int) -> Lease:
    """Lease the block that holds one address, which may lie outside the allocation pools.

    Raises:
        Conflict: it is in another holder's block, or in use.
    """
    holder = find_holder(pool, address)
    if holder is not None and holder.site == site:
        return holder
    if holder is not None and holder.site == CENTRAL:
        if address in pool.used:
            raise errors.Conflict(f"address {to_address(address)} is in use at central")
        _cut_out(pool, holder, address)
    elif holder is not None:
        raise errors.Conflict(
            f"address {to_address(address)} is leased to site {holder.site}; ask there for it",
            site=holder.site,
        )
    if any(address in block for block in pool.strays):
        raise errors.Conflict(f"address {to_address(address)} is in use at central")
    return store.insert(
        pool.connection, pool.kind, pool.id, site, Block(address, address), now=now()
    )


def find_holder(pool: Pool, address: int) -> Lease | None:
    """Find the lease that holds a number."""
    return next((lease for lease in pool.leases if address in lease.block), None)


def take_back(pool: Pool, site: SiteName, returns: Iterable[tuple[str, int | None]]) -> None:
    """Take back what a site gives: whole blocks, or their tails.

    A block in which central still knows an address in use stays leased; the site learns it from the
    answer.

    Args:
        pool: the locked pool.
        site: who gives.
        returns: lease id and the last number that the site keeps, None for a whole block.
    """
    held = {str(lease.id): lease for lease in pool.held_by(site)}
    for lease_id, last in returns:
        lease = held.get(lease_id)
        if lease is None:
            continue
        first_freed = lease.block.first if last is None else last + 1
        if first_freed > lease.block.last or first_freed < lease.block.first:
            continue
        if any(first_freed <= number <= lease.block.last for number in pool.used):
            continue
        if first_freed == lease.block.first:
            store.delete(pool.connection, [lease.id])
        else:
            store.shrink(pool.connection, lease.id, first_freed - 1)


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


def reclaim(pool: Pool) -> None:
    """Shrink central's own blocks to the addresses that are in use."""
    for lease in pool.held_by(CENTRAL):
        kept = sorted(number for number in pool.used if number in lease.block)
        store.delete(pool.connection, [lease.id])
        for block in arithmetic.merge(Block(number, number) for number in kept):
            store.insert(pool.connection, pool.kind, pool.id, CENTRAL, block, now=now())


def needs_leases(subnet: Any) -> bool:
    """Tell whether a subnet's addresses are given out one by one (SLAAC's are made of MACs)."""
    return bool(
        subnet["ip_version"] == 4 or subnet["ipv6_address_mode"] in (None, "dhcpv6-stateful")
    )


def subnet_needs_leases(connection: sa.Connection, subnet_id: str) -> bool:
    """Tell the same of a subnet by its id."""
    subnet = models_v2.Subnet
    row = connection.execute(
        sa.select(subnet.ip_version, subnet.ipv6_address_mode).where(subnet.id == subnet_id)
    ).one_or_none()
    return row is not None and needs_leases(dict(row._mapping))


def to_address(number: int) -> str:
    """Give an address as text."""
    if number < 2**32:
        return str(ipaddress.IPv4Address(number))
    return str(ipaddress.IPv6Address(number))


def _addresses_in_use(connection: sa.Connection, subnet_id: str) -> frozenset[int]:
    allocation, subnet = ipam_models.IpamAllocation, ipam_models.IpamSubnet
    query = (
        sa.select(allocation.ip_address)
        .join(subnet, subnet.id == allocation.ipam_subnet_id)
        .where(subnet.neutron_subnet_id == subnet_id)
    )
    found = connection.execute(query).scalars()
    return frozenset(int(ipaddress.ip_address(text)) for text in found)


def _allocation_pools(connection: sa.Connection, subnet_id: str) -> list[Block]:
    row = models_v2.IPAllocationPool
    query = sa.select(row.first_ip, row.last_ip).where(row.subnet_id == subnet_id)
    return arithmetic.merge(
        Block(int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)))
        for first, last in connection.execute(query)
    )


def _with_room(pool: Pool, site: SiteName) -> Pool:
    """Take back what central holds and does not use, if nothing else is left."""
    if pool.kind is not PoolKind.SUBNET or site == CENTRAL:
        return pool
    if arithmetic.subtract(pool.blocks, pool.taken):
        return pool
    reclaim(pool)
    return lock(pool.connection, pool.kind, pool.id)


def _cut_out(pool: Pool, lease: Lease, number: int) -> None:
    """Split one of central's blocks around a number."""
    store.delete(pool.connection, [lease.id])
    for block in arithmetic.subtract([lease.block], [Block(number, number)]):
        store.insert(pool.connection, pool.kind, pool.id, lease.site, block, now=now())


def _describe_exhausted(pool: Pool) -> str:
    sizes: dict[str, int] = {}
    for lease in pool.leases:
        sizes[lease.site] = sizes.get(lease.site, 0) + lease.block.size
    holders = ", ".join(f"{site} holds {size}" for site, size in sorted(sizes.items()))
    what = (
        f"every address of subnet {pool.id}"
        if pool.kind is PoolKind.SUBNET
        else (f"every port key of network {pool.id}")
    )
    return f"{what} is leased out ({holders or 'its pools are empty'})"
