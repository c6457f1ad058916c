"""Registrations: a site says which life it lives and what it believes in, central what holds.

A hello costs next to nothing and comes from every site, again and again. It shows either tier that
its database is older than what it told the other one: a site, since central has seen higher numbers
of its batches; central, since the site can prove a number that central's database never gave. Then,
and where the site was made again under its name, the site names its blocks; central adopts those
that are free, says which are void, and gives back what the site has lost.
"""

import dataclasses
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import securitygroup
from oslo_config import cfg
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation import lease as arithmetic
from isthmus.model import number
from isthmus.model.intent import ResourceType
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.site import CENTRAL, Site, SiteName
from isthmus.neutron.central import pool, usage
from isthmus.neutron.central.outbox import route_groups
from isthmus.neutron.db.session import now, writing
from isthmus.neutron.db.witness import Witness
from isthmus.store import datapath, epoch, lanes, spare, sweep
from isthmus.store import lease as lease_store
from isthmus.store import registration as store
from isthmus.store import site as site_store
from isthmus.store.held import Held
from isthmus.store.tables import JOURNAL, LEASES, LOCATIONS, ROUTINGS

LOG = logging.getLogger(__name__)

#: Most leases that a site may name, far more than any has.
MOST_LEASES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a site says of itself."""

    registration: str | None
    epoch: int
    sent: int  #: the newest number of its batches
    heard: int  #: the newest number of central's that it has a proof of
    proof: str
    leases: tuple[Lease, ...] | None  #: None in a mere hello
    datapaths: Mapping[str, int]  #: tunnel keys of its networks


def parse(site: Site, body: Mapping[str, Any]) -> Hello:
    """Read what a site says.

    Raises:
        Invalid: it is not well formed.
    """
    named = body["leases"]
    try:
        leases = None if named is None else tuple(_parse_lease(site.name, one) for one in named)
        said = Hello(
            registration=None if body["registration"] is None else str(body["registration"]),
            epoch=int(body["epoch"]),
            sent=int(body["sent"]),
            heard=int(body["heard"]),
            proof=str(body["proof"] or ""),
            leases=leases,
            datapaths={str(one): int(key) for one, key in (body["datapaths"] or {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise errors.Invalid(f"site {site.name} registers with what is no registration") from error
    if not 0 < said.epoch < 1 << number.EPOCH_BITS or len(leases or ()) > MOST_LEASES:
        raise errors.Invalid(f"site {site.name} cannot be of epoch {said.epoch}")
    return said


def _parse_lease(site: SiteName, body: Mapping[str, Any]) -> Lease:
    return Lease(
        id=LeaseId(str(body["id"])[:36]),
        kind=PoolKind(body["kind"]),
        pool_id=str(body["pool_id"])[:36],
        site=site,
        block=Block(int(body["first"]), int(body["last"])),
        origin=LeaseId(str(uuid.UUID(body["origin"]))) if body.get("origin") else None,
    )


def look_at_witness(context: Any) -> None:
    """Find out whether central's database is older than what this host has seen of it."""
    witness = Witness(Path(cfg.CONF.state_path), CENTRAL)
    with writing(context) as connection:
        own = witness.compare(connection)
    witness.remember(own)


def take(context: Any, site: Site, said: Hello) -> dict[str, Any]:
    """Hear a site out, and answer what is to be done."""
    look_at_witness(context)
    void: list[str] = []
    with writing(context) as connection:
        row_id = site_store.find_row_id(connection, site.name)
        assert row_id is not None
        _heed_proof(connection, site.name, said)
        known = store.find(connection, site.name)
        restored = (
            known is not None
            and known.registration == said.registration
            and (
                said.epoch < known.epoch
                or (
                    said.epoch == known.epoch and said.sent < lanes.read_seen(connection, site.name)
                )
            )
        )
    fresh = known is None or known.epoch != said.epoch or known.registration != row_id
    due = fresh or (known is not None and known.waits) or said.registration != row_id
    if said.leases is not None and not restored:
        void = _adopt_all(context, site, said)
        with writing(context) as connection:
            _take_up_homes(connection, site.name, said)
            store.put(connection, site.name, row_id, said.epoch)
            if due:
                sweep.renew(connection, site.name)
        due = False
        LOG.info(
            "Site %s has registered in its epoch %d with %d leases; void: %s",
            site.name,
            said.epoch,
            len(said.leases),
            ", ".join(void) or "none",
        )
    with writing(context) as connection:
        own = epoch.read(connection)
        sent = lanes.next_sequence(connection, site.name)
        answer: dict[str, Any] = {
            "registration": row_id,
            "epoch": known.epoch if known is not None and restored else said.epoch,
            "restored": restored,
            "seen": lanes.read_seen(connection, site.name),
            "register": due or restored,
            "heard": sent,
            "proof": epoch.prove(own.secret, site.name, sent),
            "void": void,
            "leases": [],
            "port_keys": [],
            "pending": 0,
        }
        if said.leases is not None and not restored:
            held = lease_store.list_leases(connection, site=site.name)
            answer["leases"] = [lease_store.to_state(one) for one in held]
            answer["port_keys"] = _list_keys(connection, site.name)
        answer["pending"] = _count_ports_due(connection, site.name)
    return answer


def _heed_proof(connection: sa.Connection, site: SiteName, said: Hello) -> None:
    """Begin a new epoch where a site can prove that central has sent what it does not know of."""
    own = epoch.read(connection)
    if said.heard <= lanes.read_sent(connection, site) or not said.proof:
        return
    if not epoch.is_proven(own.secret, site, said.heard, said.proof):
        LOG.warning("Site %s shows a number of central's that central never gave", site)
        return
    reason = f"central's database is older than what it told site {site}: it was restored"
    begun = epoch.begin(connection, reason, above=number.epoch_of(said.heard))
    LOG.warning("%s; epoch %d begins", reason, begun.epoch)


def _former(connection: sa.Connection, site: SiteName, said: Hello) -> str | None:
    """Give the registration that a site had before, if it can prove that it was this one.

    What it names could be another's; the proof that central gave with it is for its name alone.
    """
    if said.registration is None or not said.proof:
        return None
    own = epoch.read(connection)
    if not epoch.is_proven(own.secret, site, said.heard, said.proof):
        return None
    return said.registration


def _take_up_homes(connection: sa.Connection, site: SiteName, said: Hello) -> None:
    """Give a site its ports again, where it was removed and is back, and the groups of all."""
    former = _former(connection, site, said)
    if former is not None:
        store.take_up_homes(connection, former, site)
    binding, home = securitygroup.SecurityGroupPortBinding, ROUTINGS
    query = (
        sa.select(binding.security_group_id)
        .distinct()
        .join(home, home.c.resource_id == binding.port_id)
        .where(home.c.type == ResourceType.PORT.value, home.c.site == site)
    )
    route_groups(connection, list(connection.scalars(query)), site)


def _adopt_all(context: Any, site: Site, said: Hello) -> list[str]:
    """Adopt what a site believes in, pool by pool; gives the ids of what is void."""
    assert said.leases is not None
    pools: dict[tuple[PoolKind, str], list[Lease]] = {}
    for lease in said.leases:
        pools.setdefault((lease.kind, lease.pool_id), []).append(lease)
    void: list[str] = []
    for (kind, pool_id), leases in sorted(pools.items()):
        with writing(context) as connection:
            try:
                _ensure_present(connection, site, said, kind, pool_id)
                locked = pool.lock(connection, kind, pool_id)
            except errors.NotFound:
                void += [lease.id for lease in leases]
                continue
            void += _adopt(locked, site.name, _former(connection, site.name, said), leases)
    return void


def _adopt(
    locked: pool.Pool, site: SiteName, former: str | None, leases: Iterable[Lease]
) -> list[str]:
    known = {one.id: one for one in locked.leases}
    void: list[str] = []
    mine = (site, None if former is None else store.aside(former))
    leased = {one.id: one for one in locked.leases}
    for lease in leases:
        there = known.get(lease.id)
        if there is not None:
            if there.site not in mine or not there.block.overlaps(lease.block):
                void.append(lease.id)
            elif there.site != site:
                store.take_up(locked.connection, [lease.id], site)
            continue
        # Central does not know of it: its own database came back from a backup. Or the site's did,
        # and the block was given back since; then it is free, or somebody else's by now.
        others = [one for one in leased.values() if one.block.overlaps(lease.block)]
        if not all(_gives_way(locked, one, lease.block) for one in others) or _is_elsewhere(
            locked.connection, lease.id
        ):
            void.append(lease.id)
            continue
        for one in others:
            del leased[one.id]
            for part in _give_way(locked, one, lease.block):
                leased[part.id] = part
        leased[lease.id] = lease
        _insert(locked.connection, lease)
    return void


def _gives_way(locked: pool.Pool, one: Lease, block: Block) -> bool:
    """Tell whether a lease is central's own, and none of the numbers in use."""
    return one.site == CENTRAL and not usage.find_used(
        locked.connection, locked.kind, locked.id, block
    )


def _give_way(locked: pool.Pool, one: Lease, block: Block) -> list[Lease]:
    """Cut a block out of a lease of central's."""
    for address in range(max(one.block.first, block.first), min(one.block.last, block.last) + 1):
        spare.take_one(locked.connection, locked.id, address)
    lease_store.delete(locked.connection, [one.id])
    left = [
        dataclasses.replace(one, id=LeaseId(str(uuid.uuid4())), block=part)
        for part in arithmetic.subtract([one.block], [block])
    ]
    for part in left:
        _insert(locked.connection, part)
    return left


def _is_elsewhere(connection: sa.Connection, lease_id: LeaseId) -> bool:
    return bool(lease_store.list_leases(connection, ids=[lease_id]))


def _insert(connection: sa.Connection, lease: Lease) -> None:
    """Put a block that a site has into its hands, under the id by which the site knows it."""
    connection.execute(
        sa.insert(LEASES).values(
            id=lease.id,
            kind=lease.kind.value,
            pool_id=lease.pool_id,
            site=lease.site,
            first=lease_store.to_text(lease.block.first),
            last=lease_store.to_text(lease.block.last),
            created_at=now(),
            origin=lease.origin,
        )
    )


def _ensure_present(
    connection: sa.Connection, site: Site, said: Hello, kind: PoolKind, pool_id: str
) -> None:
    """Note that a network is at a site again, where central has lost that.

    Raises:
        NotFound: there is no such network any more.
    """
    network_id: str | None = pool_id
    if kind is PoolKind.SUBNET:
        subnet = models_v2.Subnet
        network_id = connection.execute(
            sa.select(subnet.network_id).where(subnet.id == pool_id)
        ).scalar()
    if network_id is None:
        raise errors.NotFound(f"there is no subnet {pool_id}")
    network = Held(connection, ResourceType.NETWORK, [network_id], alone=True)
    if network_id not in network.owners:
        raise errors.NotFound(f"there is no network {network_id}")
    if site.name in network.sites(network_id):
        return
    key = said.datapaths.get(network_id)
    if key is not None and datapath.find_key(connection, network_id) is None:
        datapath.adopt(connection, network_id, key)
    datapath.ensure_key(connection, network_id)
    network.route(site.name, now=now())
    table = models_v2.Subnet
    ids = list(
        connection.execute(sa.select(table.id).where(table.network_id == network_id)).scalars()
    )
    Held(connection, ResourceType.SUBNET, ids, alone=True).route(site.name, now=now())


def _list_keys(connection: sa.Connection, site: SiteName) -> Sequence[Mapping[str, Any]]:
    """List the keys of the ports that central knows at a site."""
    columns = (LOCATIONS.c.port_id, LOCATIONS.c.network_id, LOCATIONS.c.port_key)
    query = sa.select(*columns).where(LOCATIONS.c.site == site, LOCATIONS.c.port_key.is_not(None))
    return [dict(row._mapping) for row in connection.execute(query)]


def _count_ports_due(connection: sa.Connection, site: SiteName) -> int:
    """Count what a site has yet to be told of its ports."""
    query = (
        sa.select(sa.func.count())
        .select_from(JOURNAL)
        .where(JOURNAL.c.lane == site, JOURNAL.c.type == ResourceType.PORT.value)
    )
    return int(connection.execute(query).scalar_one())
