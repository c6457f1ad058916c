"""Adoption: which of the blocks that a registering site names are, or become, its own.

A registration proves nothing, so it is believed in what central can check. A block that central
knows as the site's stays so; one that was set aside when the site was removed is taken up again by
who proves that it was that site. Of any other block central knows nothing. Only while it waits for
the site, since its own database came back from a backup, is there a reason to believe in such a
one, and even then only on a network that may be at the site, within the subnet, no larger than
central ever gives, and without the numbers that somebody else has or may still use.
"""

import bisect
import collections
import dataclasses
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neutron_lib import exceptions as n_exc
from oslo_config import cfg
from oslo_log import log as logging

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind, rest_id
from isthmus.model.site import CENTRAL, Site, SiteName
from isthmus.neutron.central.leases import pool, usage
from isthmus.neutron.central.site_api.belief import presences
from isthmus.neutron.db.session import now, reading, writing
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import named, resting, spare
from isthmus.store.tiers import registration as store

LOG = logging.getLogger(__name__)

_Where = tuple[PoolKind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a site names."""

    leases: Sequence[Lease]
    datapaths: Mapping[str, int]  #: tunnel keys of its networks
    former: str | None  #: the registration that it has proven to have had
    unknown: bool  #: whether it may name what central knows nothing of
    complete: bool  #: whether it was not restored itself, and names all that it has


def adopt(context: Any, site: Site, said: Named) -> list[str]:
    """Adopt the leases that a site names, as far as plausible; return the ids of void ones."""
    with reading(context) as connection:
        # First: one that is decided meanwhile is among the site's own.
        pending = named.list_lease_ids(connection, site.name)
        own = lease_store.list_leases(connection, site=site.name)
        aside = (
            lease_store.list_leases(connection, site=store.aside(said.former))
            if said.former is not None
            else []
        )
    if said.unknown and said.complete:
        with writing(context) as connection:
            named.drop_leases(connection, site.name)  # what it names now stands in their place
        own = _release_unnamed(context, site, said.leases, own)
    mine, before = (
        collections.defaultdict(_Known, {at: _Known(ones) for at, ones in _by_pool(them).items()})
        for them in (own, aside)
    )
    void: list[str] = []
    back: dict[_Where, set[LeaseId]] = {}
    new: dict[_Where, list[Lease]] = {}
    for lease in said.leases:
        where = (lease.kind, lease.pool_id)
        if mine[where].find(lease) is not None:
            continue
        if lease.id in pending and not said.unknown:
            continue  # the site registers again, and it has yet to be decided whose this is
        once = before[where].find(lease)
        if once is not None:
            back.setdefault(where, set()).add(once.id)
        elif said.unknown and lease.id not in mine[where].by_id:
            new.setdefault(where, []).append(lease)
        else:
            void.append(lease.id)
    for (kind, pool_id), ids in sorted(back.items()):
        void += _take_up(context, site, said, kind, pool_id, sorted(ids))
    for (kind, pool_id), leases in sorted(new.items()):
        void += _adopt_unknown(context, site, said, kind, pool_id, leases)
    return void


def _by_pool(leases: Collection[Lease]) -> dict[_Where, list[Lease]]:
    found: dict[_Where, list[Lease]] = {}
    for one in leases:
        found.setdefault((one.kind, one.pool_id), []).append(one)
    return found


class _Known:
    """The leases of one holder and pool that central knows."""

    def __init__(self, leases: Iterable[Lease] = ()) -> None:
        """Sort them; they do not overlap."""
        self.by_id = {one.id: one for one in leases}
        self._sorted = sorted(self.by_id.values(), key=lambda one: one.block)

    def find(self, lease: Lease) -> Lease | None:
        """Return the lease as which central knows a block, under its id or as part of another.

        A part has an id of its own where the site has just cut a run out of the midst.
        """
        same = self.by_id.get(lease.id)
        if same is not None and same.block.overlaps(lease.block):
            return same
        at = bisect.bisect_right(self._sorted, lease.block.first, key=_first) - 1
        around = self._sorted[at] if at >= 0 else None
        return around if around is not None and lease.block.last in around.block else None


def _first(lease: Lease) -> int:
    return lease.block.first


def _take_up(
    context: Any,
    site: Site,
    said: Named,
    kind: PoolKind,
    pool_id: str,
    ids: Sequence[LeaseId],
) -> list[str]:
    """Return to a site what was set aside when it was removed."""
    with writing(context) as connection:
        try:
            presences.ensure_present(
                connection,
                site,
                said.datapaths,
                presences.find_network(connection, kind, pool_id),
            )
            locked = pool.lock(connection, kind, pool_id)
        except errors.NotFound:
            return list(ids)
        assert said.former is not None
        there = {one.id for one in locked.leases_of(store.aside(said.former))}
        store.take_up(connection, [one for one in ids if one in there], site.name)
    return [one for one in ids if one not in there]


def _adopt_unknown(
    context: Any,
    site: Site,
    said: Named,
    kind: PoolKind,
    pool_id: str,
    leases: Sequence[Lease],
) -> list[str]:
    """Adopt blocks that central may have forgotten, within bounds."""
    ids = [one.id for one in leases]
    try:
        with reading(context) as connection:
            network_id = presences.find_network(connection, kind, pool_id)
        presences.check_may_be_at(context, site, network_id)
    except (errors.Refused, n_exc.NetworkNotFound) as error:
        LOG.warning("Site %s does not get leases of %s %s: %s", site.name, kind, pool_id, error)
        return list(ids)
    void: list[str] = []
    with writing(context) as connection:
        try:
            presences.ensure_present(connection, site, said.datapaths, network_id)
            locked = pool.lock(connection, kind, pool_id)
        except errors.NotFound:
            return list(ids)
        for lease in leases:
            try:
                _check_block(locked, lease.block)
                if said.complete and _is_contested(locked, lease):
                    named.record_lease(connection, lease)
                else:
                    insert_named(locked, lease)
            except errors.Refused as error:
                LOG.warning("Lease %s of site %s is void: %s", lease.id, site.name, error.message)
                void.append(lease.id)
    return void


def _check_block(locked: pool.Pool, block: Block) -> None:
    """Check that central can ever have leased a block.

    Raises:
        Invalid: it is too large, or outside of the pool.
    """
    config = read_central(cfg.CONF)
    largest = max(pool.LARGEST, config.first_lease, config.key_lease)
    if block.size > largest:
        raise errors.Invalid(f"it holds {block.size} numbers; no lease has more than {largest}")
    for number in (block.first, block.last):
        pool.check_number(locked.locked, number)


def _is_contested(locked: pool.Pool, lease: Lease) -> bool:
    """Return whether anybody else has a number of a lease, as far as central knows by now."""
    others = lease_store.read_overlapping(locked.connection, locked.kind, locked.id, lease.block)
    return any(one.site not in (CENTRAL, lease.site) for one in others) or bool(
        _list_kept(locked, lease.block)
    )


def insert_named(locked: pool.Pool, lease: Lease) -> bool:
    """Lease a block under the id by which the site knows it, without what others have of it.

    Returns:
        Whether the site has all of it.

    Raises:
        Conflict: the id, or a number of it, is another site's, or all numbers are in use.
    """
    connection, block = locked.connection, lease.block
    if lease_store.list_taken(connection, [lease.id]):
        raise errors.Conflict("another lease has that id")
    others = lease_store.read_overlapping(connection, locked.kind, locked.id, block)
    # What was reserved for the site itself while it was away has ids that the site does not know.
    holder = next((one.site for one in others if one.site not in (CENTRAL, lease.site)), None)
    if holder is not None:
        raise errors.Conflict(f"site {holder} holds a number of it")
    kept = _list_kept(locked, block)
    parts = arithmetic.subtract([block], kept)
    if not parts:
        raise errors.Conflict("each of its numbers is in use, or not given up everywhere")
    for one in others:
        lease_store.delete(connection, [one.id])
        for left in arithmetic.subtract([one.block], parts):
            _insert(locked, dataclasses.replace(one, id=_new_id(), block=left))
    covered = [one.block for one in others]
    for unleased in arithmetic.subtract(kept, covered):
        _insert(locked, _of_central(lease, unleased))
    for part in parts:
        spare.take_block(connection, locked.id, part)
        kept_as = dataclasses.replace(lease, block=part)
        if part != parts[0]:  # derived as the site derives it
            kept_as = dataclasses.replace(
                kept_as, id=rest_id(lease.root, part.first), origin=lease.root
            )
        _insert(locked, kept_as)
    return parts == [block]


def reserve(
    locked: pool.Locked, site: SiteName, number: int, *, instead: Lease | None = None
) -> None:
    """Keep one number from everybody but a holder.

    Args:
        locked: its pool.
        site: the holder.
        number: which; nobody else holds it.
        instead: central's lease, of which it is cut out.
    """
    one = Lease(
        id=_new_id(),
        kind=locked.kind,
        pool_id=locked.id,
        site=site,
        block=Block(number, number),
        origin=None,
    )
    if instead is not None:
        lease_store.delete(locked.connection, [instead.id])
        for left in arithmetic.subtract([instead.block], [one.block]):
            _insert(locked, dataclasses.replace(instead, id=_new_id(), block=left))
    _insert(locked, one)


def _release_unnamed(
    context: Any, site: Site, said: Sequence[Lease], own: Sequence[Lease]
) -> list[Lease]:
    """Reclaim what a site has released since the backup; return what it still holds."""
    has = _by_pool(said)
    for (kind, pool_id), leases in sorted(_by_pool(own).items()):
        known = has.get((kind, pool_id), [])
        if arithmetic.narrow(leases, known, ()) == arithmetic.Narrowed((), (), ()):
            continue
        with writing(context) as connection:
            try:
                locked = pool.lock(connection, kind, pool_id)
            except errors.NotFound:
                continue
            _narrow(locked, locked.leases_of(site.name), known)
        LOG.info("Site %s has other leases of %s %s since the backup", site.name, kind, pool_id)
    with reading(context) as connection:
        return lease_store.list_leases(connection, site=site.name)


def _narrow(locked: pool.Pool, held: Sequence[Lease], known: Sequence[Lease]) -> None:
    """Reduce a site's leases to what the site names, under the ids by which it knows them.

    Numbers in use of the rest become central's.
    """
    connection = locked.connection
    taken = lease_store.list_taken(connection, {one.id for one in known})
    plan = arithmetic.narrow(held, known, taken - {one.id for one in held})
    lease_store.delete(connection, plan.delete)
    for one in plan.insert:
        _insert(locked, one)
    for part in plan.freed:
        for used in arithmetic.merge(
            Block(number, number)
            for number in usage.find_used(connection, locked.kind, locked.id, part)
        ):
            _insert(locked, _of_central(held[0], used))


def _list_kept(locked: pool.Pool, block: Block) -> list[Block]:
    """List the parts of a block that stay central's: in use, or at rest and not heard of by all."""
    connection = locked.connection
    kept = set(usage.find_used(connection, locked.kind, locked.id, block))
    if locked.kind is PoolKind.SUBNET:
        found = resting.list_in(connection, locked.id, block)
        unacknowledged = resting.find_unacknowledged(connection, {port_id for _, port_id in found})
        kept |= {number for number, port_id in found if port_id in unacknowledged}
    return arithmetic.merge(Block(one, one) for one in kept)


def _of_central(lease: Lease, block: Block) -> Lease:
    return dataclasses.replace(lease, id=_new_id(), site=CENTRAL, block=block, origin=None)


def _new_id() -> LeaseId:
    return LeaseId(str(uuid.uuid4()))


def _insert(locked: pool.Pool | pool.Locked, lease: Lease) -> None:
    """Insert a lease as it is; this allocates nothing, so central may be recovering."""
    lease_store.put(locked.connection, lease, now=now())
