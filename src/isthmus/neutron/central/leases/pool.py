"""Pools and their leases at central: which tier may allocate which addresses and port keys.

A pool is the allocation pools of a subnet, or the port keys of a network. A caller that leases a
block holds the pool's lock and decides from locking reads alone: a `Pool` cannot be made of
anything else. Only the block in question is checked for addresses in use, never the whole subnet.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.dataplane.ovn import LOCALNET_KEY
from isthmus.model.intent import What
from isthmus.model.lease import Block, Lease, PoolKind, show_number
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.central import silence
from isthmus.neutron.central.leases import usage
from isthmus.neutron.db.session import now
from isthmus.store.leases import lease as store
from isthmus.store.leases import named, recall, resting, spare
from isthmus.store.leases import pool as pool_store
from isthmus.store.tiers.latest import Latest

#: Every key that a port may have on a network; the keys above are those of multicast groups.
PORT_KEYS = Block(1, LOCALNET_KEY - 1)
#: Sizes of the sites' blocks.
SIZES = arithmetic.SizePolicy()
#: Size limit of one block: that many addresses are looked up before it is leased.
LARGEST = SIZES.largest


@dataclass(frozen=True, slots=True)
class Locked:
    """A locked pool: nobody else allocates from it until the transaction ends; see `lock_only`."""

    connection: sa.Connection
    kind: PoolKind
    id: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool with all its leases as currently committed."""

    locked: Locked
    blocks: tuple[Block, ...]
    leases: Latest[Lease]

    @property
    def connection(self) -> sa.Connection:
        """Return the connection of the transaction that holds the lock."""
        return self.locked.connection

    @property
    def kind(self) -> PoolKind:
        """Return the type of the pool."""
        return self.locked.kind

    @property
    def id(self) -> str:
        """Return the id of the subnet or network."""
        return self.locked.id

    def leases_of(self, site: SiteName) -> list[Lease]:
        """List a holder's leases."""
        return [lease for lease in self.leases if lease.site == site]

    @property
    def taken(self) -> list[Block]:
        """List the blocks that are leased."""
        return [lease.block for lease in self.leases]

    @property
    def free(self) -> int:
        """Count the numbers that are not leased."""
        return arithmetic.count(arithmetic.subtract(self.blocks, self.taken))


def lock_only(connection: sa.Connection, kind: PoolKind, pool_id: str) -> Locked:
    """Lock a pool, and read none of its leases.

    Raises:
        NotFound: there is no such subnet or network.
    """
    table = models_v2.Subnet if kind is PoolKind.SUBNET else models_v2.Network
    query = sa.select(table.id).where(table.id == pool_id)
    if not Latest.read(connection, query, lambda row: row.id, write=False):
        raise errors.NotFound(f"there is no pool {kind} {pool_id}")
    pool_store.lock(connection, kind, pool_id)
    return Locked(connection, kind, pool_id)


def lock(connection: sa.Connection, kind: PoolKind, pool_id: str) -> Pool:
    """Lock a pool and read all its leases.

    Raises:
        NotFound: there is no such subnet or network.
    """
    return read(lock_only(connection, kind, pool_id))


def read(locked: Locked) -> Pool:
    """Read all leases of a pool."""
    leases = store.read_latest(locked.connection, locked.kind, locked.id)
    if locked.kind is PoolKind.PORT_KEY:
        return Pool(locked, (PORT_KEYS,), leases)
    return Pool(locked, tuple(list_blocks(locked.connection, locked.id)), leases)


def lease_more(pool: Pool, site: SiteName, count: int) -> list[Lease]:
    """Lease up to `count` more numbers, in as few blocks as the pool allows.

    A site gets at most a quarter of what is free, and fewer where it has many idle ones; central
    gets at most half.

    Raises:
        Exhausted: no number is left, not even among central's own unused ones.
        Conflict: the site holds many numbers and uses few.
    """
    pool = _with_room(pool, site)
    if not pool.free:
        raise errors.Exhausted(_describe_exhausted(pool))
    left = _limit(pool, site, count)
    made: list[Lease] = []
    taken = pool.taken
    held = [lease.block for lease in pool.leases_of(site)]
    while left > 0:
        try:
            block = arithmetic.allocate_block(pool.blocks, taken, left, held=held)
        except errors.Exhausted:
            if made:
                break
            raise errors.Exhausted(_describe_exhausted(pool)) from None
        taken.append(block)
        # Allocated addresses without a lease are central's: from before Isthmus or from a removed
        # site.
        unleased_used = usage.find_used(pool.connection, pool.kind, pool.id, block)
        for unleased in arithmetic.merge(Block(one, one) for one in unleased_used):
            store.insert(pool.connection, pool.kind, pool.id, CENTRAL, unleased, now=now())
        kept = [*unleased_used, *find_restless(pool.locked, block)]
        for part in arithmetic.subtract([block], (Block(one, one) for one in kept)):
            made.append(store.insert(pool.connection, pool.kind, pool.id, site, part, now=now()))
            left -= part.size
    for one in made:
        tell(locked=pool.locked, what=What.LEASE_GRANTED, site=site, blocks=[one.block])
    return made


def tell(*, locked: Locked, what: What, site: SiteName, blocks: Iterable[Block]) -> None:
    """Record as an event that numbers were leased to a site, or came back from it.

    What central leases to itself is nobody's news.

    Args:
        locked: the pool.
        what: which of the two.
        site: the site.
        blocks: the numbers.
    """
    if site == CENTRAL:
        return
    kind = ResourceType.SUBNET if locked.kind is PoolKind.SUBNET else ResourceType.NETWORK
    for block in blocks:
        first, last = (show_number(locked.kind, one) for one in (block.first, block.last))
        record_event(
            locked.connection,
            what,
            site,
            kind=kind,
            resource_id=locked.id,
            details=f"{first} to {last}",
        )


def lease_address(locked: Locked, site: SiteName, address: int) -> Lease:
    """Lease the block that holds one number, which may lie outside the allocation pools.

    Raises:
        Conflict: it is in another holder's block, in use, or still at rest; or the site holds many
            numbers and uses few.
        Busy: it is in a site's block, and that site was asked to return it.
        Invalid: it is not a number of this pool.
    """
    connection, kind, pool_id = locked.connection, locked.kind, locked.id
    holder = store.find_covering(connection, kind, pool_id, address)
    if holder is not None and holder.site == site:
        return holder
    check_unnamed(locked, address)
    if holder is not None and holder.site != CENTRAL:
        if _is_awaited(connection, holder, address):
            raise errors.Busy(
                f"address {to_address(address)} is leased to site {holder.site}, which was asked "
                "to give it back and has not answered yet: try again"
            )
        raise errors.Conflict(
            f"address {to_address(address)} is leased to site {holder.site}: only a port that is "
            "made at that site can have it",
            site=holder.site,
        )
    one = Block(address, address)
    if site != CENTRAL:
        check_number(locked, address)
        if usage.find_used(connection, kind, pool_id, one):
            raise errors.Conflict(f"address {to_address(address)} is in use at central")
        end_rest(locked, address)
        _limit(read(locked), site, 1)  # the limit holds for explicit requests too
    if holder is not None:
        spare.take_one(connection, pool_id, address)
        let_go(locked, address)
    tell(locked=locked, what=What.LEASE_GRANTED, site=site, blocks=[one])
    return store.insert(connection, kind, pool_id, site, one, now=now())


def check_unnamed(locked: Locked, address: int) -> None:
    """Check that an address without a port at central may be allocated.

    Raises:
        Conflict: a site's port has it, which central, restored from a backup, has yet to learn.
    """
    kept = named.find_kept(locked.connection, locked.id, address)
    if kept is not None:
        raise errors.Conflict(
            f"address {to_address(address)} is that of port {kept.port_id} at site {kept.site}, of "
            "which central, restored from a backup, has yet to learn",
            site=kept.site,
        )


def let_go(locked: Locked, number: int) -> None:
    """Remove a number from central's own leases."""
    connection, kind, pool_id = locked.connection, locked.kind, locked.id
    holder = store.find_covering(connection, kind, pool_id, number)
    assert holder is not None, "central holds it"
    assert holder.site == CENTRAL, "central holds it"
    store.delete(connection, [holder.id])
    for part in arithmetic.subtract([holder.block], [Block(number, number)]):
        store.insert(connection, kind, pool_id, CENTRAL, part, now=now())


def _is_awaited(connection: sa.Connection, holder: Lease, address: int) -> bool:
    """Return whether a reachable site has not answered yet whether it returns an address."""
    asked = recall.list_of(connection, [holder.id])
    return any(address in one.block for one in asked.values()) and holder.site in (
        silence.list_able(connection)
    )


def check_number(locked: Locked, number: int) -> None:
    """Check that a number is one of the pool's; Neutron checks the numbers of central's own ports.

    Raises:
        Invalid: it is not a number of this pool.
    """
    if locked.kind is PoolKind.PORT_KEY:
        if number not in PORT_KEYS:
            raise errors.Invalid(f"{number} is no port key: they go up to {PORT_KEYS.last}")
        return
    subnet = models_v2.Subnet
    cidr = locked.connection.execute(  # it never changes
        sa.select(subnet.cidr).where(subnet.id == locked.id)
    ).scalar()
    network = ipaddress.ip_network(str(cidr))
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4 and network.prefixlen < 31:
        first, last = first + 1, last - 1  # network and broadcast address
    if not first <= number <= last:
        raise errors.Invalid(f"{number} is no address of subnet {locked.id}, {cidr}")


def end_rest(locked: Locked, address: int, *, port_id: str | None = None) -> None:
    """End the rest of a freed address, so that it can be allocated again.

    Raises:
        Conflict: a site may still believe that its former port has it.
    """
    last = resting.find_port(locked.connection, locked.id, address)
    if last is None:
        return
    if last != port_id and resting.find_unacknowledged(locked.connection, [last]):
        raise errors.Conflict(
            f"address {to_address(address)} was that of port {last}, and not every site has "
            "acknowledged yet that it was released: try again"
        )
    resting.delete(locked.connection, locked.id, [address])


def reclaim(pool: Pool) -> None:
    """Reclaim the blocks that central holds and does not use."""
    spares = spare.read_all(pool.connection, pool.id)
    for lease in pool.leases_of(CENTRAL):
        kept = arithmetic.subtract([lease.block], spares)
        if kept != [lease.block]:
            store.delete(pool.connection, [lease.id])
            for block in kept:
                store.insert(pool.connection, pool.kind, pool.id, CENTRAL, block, now=now())
    spare.delete_all(pool.connection, pool.id)


def find_restless(locked: Locked, block: Block) -> list[int]:
    """List the numbers of a block that some site may still believe to be their former ports'.

    The rest of the others ends here, because they are about to be allocated.
    """
    rests = resting.list_in(locked.connection, locked.id, block)
    unacknowledged = resting.find_unacknowledged(
        locked.connection, {port_id for _, port_id in rests}
    )
    over = [number for number, port_id in rests if port_id not in unacknowledged]
    resting.delete(locked.connection, locked.id, over)
    return [number for number, port_id in rests if port_id in unacknowledged]


def is_leased_out(connection: sa.Connection, subnet_id: str, part: Block) -> bool:
    """Return whether a site has a block in a part of a subnet (a plain read)."""
    leases = store.list_leases(connection, kind=PoolKind.SUBNET, pool_ids=[subnet_id])
    return any(one.site != CENTRAL and one.block.overlaps(part) for one in leases)


def to_address(number: int) -> str:
    """Return an address as text."""
    if number < 2**32:
        return str(ipaddress.IPv4Address(number))
    return str(ipaddress.IPv6Address(number))


def list_blocks(connection: sa.Connection, subnet_id: str) -> list[Block]:
    """List the allocation pools of a subnet."""
    row = models_v2.IPAllocationPool
    query = sa.select(row.first_ip, row.last_ip).where(row.subnet_id == subnet_id)
    return arithmetic.merge(
        Latest.read(
            connection,
            query,
            lambda one: Block(
                int(ipaddress.ip_address(one.first_ip)), int(ipaddress.ip_address(one.last_ip))
            ),
            write=False,
        )
    )


def _limit(pool: Pool, site: SiteName, count: int) -> int:
    """Return how many numbers a holder may lease.

    Raises:
        Conflict: it holds many numbers and uses few.
    """
    if site == CENTRAL:
        return max(1, min(count, LARGEST, pool.free // 2))
    held = arithmetic.count(lease.block for lease in pool.leases_of(site))
    size, free = arithmetic.count(pool.blocks), pool.free

    def limit_by(used: int) -> int:
        return arithmetic.limit_request(
            count, free=free, size=size, idle=held - used, used=used, policy=SIZES
        )

    used, limit = 0, limit_by(0)
    if limit != limit_by(held):  # otherwise it does not matter, and they need not be counted
        used = usage.count_of_site(pool.connection, pool.kind, pool.id, site)
        limit = limit_by(used)
    idle = held - used
    if limit == 0:
        raise errors.Conflict(
            f"site {site} holds {held} of the {size} numbers of {pool.kind} {pool.id}, and central "
            f"knows of no port on {idle} of them: no more until they are used, or given back",
            site=site,
        )
    return limit


def _with_room(pool: Pool, site: SiteName) -> Pool:
    """Reclaim what central holds and does not use, if nothing else is free."""
    if pool.kind is not PoolKind.SUBNET or site == CENTRAL or pool.free:
        return pool
    reclaim(pool)
    return read(pool.locked)


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
