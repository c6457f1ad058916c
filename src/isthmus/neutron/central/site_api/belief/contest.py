"""What becomes of numbers that sites have named (`naming`), once no site is awaited any more.

Each number goes to whom it belongs: the port that has it at its home keeps it, what central took
for its holder loses it, and what nobody gives out at present (an address of central's own, on a
port that came to a site since; what a lost site's ports have, as the others know them) is kept from
everybody else.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.plugins import directory
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.federation.leases.named import Holder, is_outdated
from isthmus.model.lease import Block, Lease, PoolKind, find_block
from isthmus.model.site import CENTRAL
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.central import reporting
from isthmus.neutron.central.leases import pool, usage
from isthmus.neutron.central.site_api.belief import adoption
from isthmus.neutron.db.guard import Guarded
from isthmus.neutron.db.session import reading, writing
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import named, resting, spare
from isthmus.store.tiers import epoch, named_port, registration
from isthmus.store.tiers.latest import Latest

LOG = logging.getLogger(__name__)

_SUBNET = PoolKind.SUBNET
#: Words that are decided in one transaction, which has locked their pool.
_AT_ONCE = 100


def decide(context: Any) -> None:
    """Decide every number that sites have named, once no site is awaited.

    It can be restarted at any point, and run in several processes at once: each number, and each
    lease, is decided by who locks the row with the word first.
    """
    with reading(context) as connection:
        if not named.is_open(connection) or epoch.list_waiting(connection):
            return
        lacks = named.list_open(connection, named.LACKS)
        has = named.list_open(connection, named.HAS)
        strays = named.list_open(connection, named.STRAY)
        leases = named.list_leases(connection)
    addresses = [*has, *(one for one in strays if one.kind is _SUBNET)]
    wanted = _Wanted(addresses, leases)
    for word in lacks:
        with _going_on(word):
            _follow_lack(context, word, ends_rest=wanted.includes(word.pool_id, word.number))
    for word in addresses:
        with _going_on(word):
            _clear(context, word, word.number)
    for lease in leases:
        _decide_lease(context, lease)
    _each(context, has, _keep_own)
    _each(context, strays, _keep_of_stray)
    # Only now: an address of another site's lease takes that site's word for it.
    with writing(context) as connection:
        epoch.read(connection)  # nobody comes to owe a registration meanwhile
        owing = registration.list_owing(connection)
        named.drop_known(connection, but_at=owing)  # those sites name it themselves
        knows = named.list_open(connection, named.KNOWS)
    _each(context, knows, _keep_of_lost)
    _each(context, lacks, _drop)


@contextlib.contextmanager
def _going_on(contested: named.Word | Lease) -> Iterator[None]:
    """Go on where Neutron refuses to take a number from a port: central would never recover.

    Raises:
        Exception: it may work in a moment.
    """
    try:
        yield
    except Exception as error:  # whatever a driver or a callback of Neutron's has raised
        if isinstance(from_any(error), errors.Transient):
            raise
        LOG.exception("What site %s has cannot be followed: %s", contested.site, contested)


def _each(
    context: Any, words: Sequence[named.Word], step: Callable[[pool.Locked, named.Word], None]
) -> None:
    """Run a step for each word that nobody has decided meanwhile, behind its pool's lock.

    Some words of one pool go together: what a lost site had, others may know of by the ten
    thousand.
    """
    for (kind, pool_id), of_pool in itertools.groupby(
        words, key=lambda one: (one.kind, one.pool_id)
    ):
        for chunk in _chunks(list(of_pool)):
            with writing(context) as connection:
                try:
                    locked = pool.lock_only(connection, kind, pool_id)
                except errors.NotFound:
                    for word in chunk:
                        named.drop(connection, word)
                    continue
                for word in chunk:
                    with contextlib.suppress(errors.Stale):
                        named.require_open(connection, word)
                        step(locked, word)


def _chunks(words: Sequence[named.Word]) -> Iterator[Sequence[named.Word]]:
    for start in range(0, len(words), _AT_ONCE):
        yield words[start : start + _AT_ONCE]


def _drop(locked: pool.Locked, word: named.Word) -> None:
    named.drop(locked.connection, word)


class _Wanted:
    """The numbers that sites have on ports, or in leases which central has forgotten."""

    def __init__(self, has: Iterable[named.Word], leases: Iterable[Lease]) -> None:
        """Sort them."""
        self._numbers = {(one.pool_id, one.number) for one in has}
        blocks: dict[str, list[Block]] = {}
        for one in leases:
            blocks.setdefault(one.pool_id, []).append(one.block)
        self._blocks = {pool_id: arithmetic.merge(found) for pool_id, found in blocks.items()}

    def includes(self, pool_id: str, number: int) -> bool:
        """Return whether a number is one of them."""
        found = find_block(self._blocks.get(pool_id, []), number)
        return (pool_id, number) in self._numbers or found is not None


def _follow_lack(context: Any, word: named.Word, *, ends_rest: bool) -> None:
    """Remove from a port what its home says that it has no more; nobody else can say so."""

    def ask(connection: sa.Connection) -> None:
        named.require_open(connection, word)
        place = named_port.find_place(connection, word.port_id)
        if place.home is None or place.spokesman != word.site:
            raise errors.Stale(f"site {word.site} does not speak for port {word.port_id}")

    with contextlib.suppress(errors.Stale):
        with writing(context) as connection:
            ask(connection)
        with Guarded(ask):
            _take_away(word.pool_id, word.number, word.port_id)
        if ends_rest:  # somebody has the number already
            with writing(context) as connection:
                ask(connection)
                resting.delete(connection, word.pool_id, [word.number])


def _clear(context: Any, contested: named.Word | Lease, number: int) -> None:
    """Remove a number that a site has from the port that was restored with it.

    Args:
        context: an administrator's.
        contested: the site's word, or its lease.
        number: the number.
    """
    port_id = contested.port_id if isinstance(contested, named.Word) else None
    holder: str | None = None

    def ask(connection: sa.Connection) -> None:
        if isinstance(contested, named.Word):
            named.require_open(connection, contested)
        else:
            named.require_lease(connection, contested)
        if holder is not None and not _is_outdated(connection, contested, number, holder):
            raise errors.Stale(f"port {holder} has address {pool.to_address(number)} after all")

    with contextlib.suppress(errors.Stale):
        with writing(context) as connection:
            found = _find_holder(connection, contested.pool_id, number)
            ask(connection)
            if found is None or found == port_id:
                return
            if not _is_outdated(connection, contested, number, found):
                LOG.error(
                    "Address %s of subnet %s is on port %s of site %s, and at central on port %s",
                    pool.to_address(number),
                    contested.pool_id,
                    port_id,
                    contested.site,
                    found,
                )
                return
            holder = found
        with Guarded(ask):
            _take_away(contested.pool_id, number, holder)
        LOG.warning(
            "Site %s has address %s: port %s, which had it when central was backed up, loses it",
            contested.site,
            pool.to_address(number),
            holder,
        )
        with writing(context) as connection:
            ask(connection)
            resting.delete(connection, contested.pool_id, [number])


def _is_outdated(
    connection: sa.Connection, contested: named.Word | Lease, number: int, holder: str
) -> bool:
    """Return whether a port has a number at central only because that was restored."""
    place = named_port.find_place(connection, holder)
    speaks = place.spokesman
    lease = lease_store.find_covering(connection, _SUBNET, contested.pool_id, number, write=False)
    own = epoch.peek(connection)
    found = Holder(
        home=place.home,
        let_go=speaks is not None
        and named.says(connection, speaks, named.LACKS, contested.pool_id, number, holder),
        is_named=bool(place.named_by),
        home_heard=place.home_heard,
        leased_there=lease is not None and lease.site == contested.site,
    )
    return is_outdated(found, recovered=own is None or own.recovered)


def _find_holder(connection: sa.Connection, subnet_id: str, number: int) -> str | None:
    address = models_v2.IPAllocation
    query = sa.select(address.port_id).where(
        address.subnet_id == subnet_id, address.ip_address == pool.to_address(number)
    )
    return next(iter(Latest.read(connection, query, lambda row: row.port_id, write=False)), None)


def _take_away(subnet_id: str, number: int, port_id: str) -> None:
    """Remove an address from a port at central, if it still has it."""
    core = directory.get_plugin()
    admin = n_context.get_admin_context()
    text = pool.to_address(number)
    try:
        port = core.get_port(admin, port_id)
        left = [
            {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
            for one in port["fixed_ips"]
            if (one["subnet_id"], one["ip_address"]) != (subnet_id, text)
        ]
        if len(left) < len(port["fixed_ips"]):
            with reporting.correcting():
                core.update_port(admin, port_id, {"port": {"fixed_ips": left}})
    except n_exc.PortNotFound:
        return


def _decide_lease(context: Any, lease: Lease) -> None:
    """Grant a site a lease that central had forgotten, without what others have of it."""
    site = lease.site
    with writing(context) as connection:
        used = usage.find_used(connection, lease.kind, lease.pool_id, lease.block)
    for number in used:
        with _going_on(lease):
            _clear(context, lease, number)
    with contextlib.suppress(errors.Stale), writing(context) as connection:
        try:
            locked = pool.lock(connection, lease.kind, lease.pool_id)
            named.require_lease(connection, lease)
            whole = adoption.insert_named(locked, lease)
        except errors.Refused as error:
            LOG.warning("Lease %s of site %s is void: %s", lease.id, site, error.message)
            whole = False
        named.drop_leases(connection, site, [lease.id])
        if not whole:
            registration.ask_again(connection, site)


def _keep_own(locked: pool.Locked, word: named.Word) -> None:
    """Keep an address for a site's port that does not have it from the site's own lease."""
    connection = locked.connection
    try:
        pool.check_number(locked, word.number)
    except errors.Invalid:  # the network's own address, say
        named.drop(connection, word)
        return
    holder = lease_store.find_covering(connection, _SUBNET, word.pool_id, word.number)
    at = _find_holder(connection, word.pool_id, word.number)
    if (holder is not None and holder.site == word.site) or at is not None:
        named.drop(connection, word)
        return
    if holder is None:
        adoption.reserve(locked, CENTRAL, word.number)
    elif holder.site == CENTRAL:
        spare.take_one(connection, word.pool_id, word.number)
    elif not named.says(
        connection,
        holder.site,
        named.KNOWS,
        word.pool_id,
        word.number,
        word.port_id,
        home=word.site,
    ):
        LOG.error(
            "Site %s has address %s, which is leased to site %s",
            word.site,
            pool.to_address(word.number),
            holder.site,
        )
        named.drop(connection, word)
        return
    resting.delete(connection, word.pool_id, [word.number])
    LOG.warning(
        "Address %s is kept for port %s of site %s, which has yet to report it",
        pool.to_address(word.number),
        word.port_id,
        word.site,
    )
    named.keep(connection, word)


def _keep_of_stray(locked: pool.Locked, word: named.Word) -> None:
    """Keep a number for a restored site, whose OVN has it on a port that no database knows.

    The site allocates it to nobody while OVN has that port.
    """
    connection = locked.connection
    named.drop(connection, word)
    if not _keep_at(locked, word):
        holder = lease_store.find_covering(connection, word.kind, word.pool_id, word.number)
        if holder is not None and holder.site != word.site:
            LOG.error(
                "Number %s of %s %s is on port %s in OVN at site %s, which no database knows, and "
                "belongs to %s: see that nothing runs on one of them",
                word.number,
                word.kind,
                word.pool_id,
                word.port_id,
                word.site,
                holder.site,
            )
        return
    registration.ask_again(connection, word.site)  # it has a lease that it does not know
    LOG.warning(
        "Number %s of %s %s is kept for site %s: its OVN has it on port %s, which it has forgotten",
        word.number,
        word.kind,
        word.pool_id,
        word.site,
        word.port_id,
    )


def _keep_at(locked: pool.Locked, word: named.Word) -> bool:
    """Lease a number to the site at which its port is, if nobody has it; return whether so."""
    connection = locked.connection
    try:
        pool.check_number(locked, word.number)
    except errors.Invalid:
        return False
    holder = lease_store.find_covering(connection, word.kind, word.pool_id, word.number)
    if usage.find_used(connection, word.kind, word.pool_id, Block(word.number, word.number)):
        return False
    if holder is None:
        adoption.reserve(locked, word.home, word.number)
    elif holder.site == CENTRAL:
        spare.take_one(connection, word.pool_id, word.number)
        adoption.reserve(locked, word.home, word.number, instead=holder)
    else:
        return False
    return True


def _keep_of_lost(locked: pool.Locked, word: named.Word) -> None:
    """Keep a number for a site that central went on without, if another site knows of it."""
    connection = locked.connection
    named.drop(connection, word)
    known = registration.find(connection, word.home)
    if known is None or not known.owes:
        return  # that site names it itself
    if not _keep_at(locked, word):
        return
    LOG.warning(
        "Number %s of %s %s is kept for site %s: by site %s it belongs to port %s",
        word.number,
        word.kind,
        word.pool_id,
        word.home,
        word.site,
        word.port_id,
    )
