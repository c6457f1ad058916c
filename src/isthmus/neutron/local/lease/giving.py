"""Returning leases: those that a site does not need, and what central recalls and is idle.

A number stops being the site's in the site's own database first, in one transaction with a check of
who uses it. Central is told afterwards, in as many calls as necessary, repeated until it has
answered; what it has taken is acknowledged call by call.
"""

import ipaddress
from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa
from neutron.ipam.drivers.neutrondb_ipam import db_models

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.federation.leases import lease as arithmetic
from isthmus.journal import crash
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import lane
from isthmus.store.leases import recall, resting, returns
from isthmus.store.local import lease as site_lease
from isthmus.store.sql.engine import reading, writing
from isthmus.store.tiers import epoch

_IPAM_SUBNETS = db_models.IpamSubnet.__table__
_ALLOCATIONS = db_models.IpamAllocation.__table__


class Giving:
    """Returns leases to central; one for each keeper."""

    def __init__(
        self,
        site: SiteName,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        *,
        idle_s: float,
        before_telling: Callable[[], object] = lambda: None,
    ) -> None:
        """Initialise.

        Args:
            site: this site.
            client: returns the client for central, once this process needs it.
            engine: returns the site's database.
            idle_s: seconds that a lease is kept at least, and is idle before it is returned.
            before_telling: advances the witness: a backup in which the leases are still the site's
                is then known to be one.
        """
        self._site = site
        self._client = client
        self._engine = engine
        self._idle_s = idle_s
        self._before_telling = before_telling

    def set_aside(self, pool_id: str, idle: Collection[Block]) -> None:
        """Set aside leases of these blocks, except young ones and those with a number in use.

        A young one may have been requested for a port that is about to use it. A transaction that
        takes a number of an old one locks it until the commit, or finds that it is gone.
        """
        if not idle:
            return
        with writing(self._engine()) as connection:
            old = site_lease.read_leases(connection, PoolKind.SUBNET, pool_id, older_s=self._idle_s)
            chosen = {
                lease_id: block
                for lease_id, block in sorted(old)
                if block in idle and site_lease.lock(connection, lease_id) == block
            }
            used = read_used(connection, pool_id)
            site_lease.set_aside(
                connection,
                pool_id,
                [
                    lease_id
                    for lease_id, block in chosen.items()
                    if not any(number in block for number in used)
                ],
            )

    def cut_out_asked(self, pool_id: str) -> None:
        """Set aside what central recalls of a subnet and is idle, once for each recall.

        There is nothing to wait for: a transaction that takes a number checks after its insert
        whether it is still this site's. What is left to cut out is read behind the lease's lock:
        another process may have done it.
        """
        with writing(self._engine()) as connection:
            for lease_id in sorted(recall.list_in(connection, pool_id)):
                block = site_lease.lock(connection, lease_id)
                asked = recall.lock(connection, lease_id)
                if asked is None:
                    continue  # central has the answer already
                wanted = asked.block
                if asked.wanted and block is not None and block.overlaps(wanted):
                    part = Block(max(block.first, wanted.first), min(block.last, wanted.last))
                    used = read_used(connection, pool_id)
                    runs = arithmetic.plan_recall(part, used, asked.wanted)
                    site_lease.cut_out(connection, self._site, pool_id, lease_id, runs)
                recall.mark_done(connection, lease_id)
        crash.point("recall.cut_out")

    def tell(self, pool_id: str) -> None:
        """Report to central what was set aside of a subnet, and which recalls that answers.

        What the site set aside of its own accord waits a while, unless central recalls something.

        Raises:
            IsthmusError: central did not answer, or refused; the rest is reported again.
        """
        with reading(self._engine()) as connection:
            # If the database goes back to a backup now, these may be the site's again: central
            # hears what is said here only of the incarnation in which it was read.
            speaks = epoch.peek_incarnation(connection)
            answered = _list_answered(connection, pool_id)
            older_s = 0.0 if answered else self._idle_s
            aside = returns.list_unacknowledged(connection, pool_id, older_s=older_s)
        pieces = sorted(
            ((piece, part) for part in aside for piece in arithmetic.split_return(part.block)),
            key=lambda one: one[0],
            reverse=True,
        )
        most = arithmetic.MOST_RETURNS
        while pieces or answered:
            chunk, pieces = pieces[:most], pieces[most:]
            now = [] if pieces else answered[:most]  # a recall is answered with the last piece
            left = {part.id for _, part in pieces}
            whole = [part for _, part in chunk if part.id not in left]
            self._tell(pool_id, chunk, whole, now, speaks)
            answered = answered[len(now) :]

    def _tell(
        self,
        pool_id: str,
        chunk: Sequence[tuple[Block, returns.Return]],
        whole: Sequence[returns.Return],
        answered: Sequence[str],
        speaks: str,
    ) -> None:
        """Make one call, and acknowledge what central has taken completely by then."""
        crash.point("lease.set_aside")
        self._before_telling()
        with reading(self._engine()) as connection:
            if epoch.peek_incarnation(connection) != speaks:
                raise errors.Busy("the database went back: what it returned may be its own again")
            # Where it went back to a moment since the look before, it shows in this alone.
            standing = returns.list_unacknowledged(connection, pool_id, older_s=0.0)
            answered = _list_answered(connection, pool_id, answered)
        still = {part.id for part in standing}
        chunk = [(piece, part) for piece, part in chunk if part.id in still]
        whole = [part for part in whole if part.id in still]
        if not chunk and not answered:
            return  # or another process has told central
        seen = read_seen(self._engine())
        states = (
            self._client()
            .request_leases(
                PoolKind.SUBNET.value,
                pool_id,
                give_back=[
                    {"lease": part.origin, "first": str(piece.first), "last": str(piece.last)}
                    for piece, part in chunk
                ],
                news={"answered": answered},
                probe=True,
                speaks=speaks,
            )
            .leases
        )
        crash.point("lease.given_back")
        taken = {part.id for part in whole if not site_lease.is_listed(part, states)}
        with writing(self._engine()) as connection:
            returns.acknowledge(connection, taken)
            recall.mark_heard(connection, answered)
            added = site_lease.add(connection, self._site, states)
            site_lease.refuse_overtaken(connection, states, added, seen=seen)


def _list_answered(
    connection: sa.Connection, pool_id: str, of: Collection[str] | None = None
) -> list[str]:
    """List the recalls of a pool that the site has carried out; `of` these, if given."""
    listed = recall.list_in(connection, pool_id).values()
    return sorted(one.id for one in listed if not one.wanted and (of is None or one.id in of))


def read_seen(engine: sa.Engine) -> int:
    """Read the newest batch that has arrived, before central is asked for what it may overtake."""
    with reading(engine) as connection:
        return lane.peek(connection, CENTRAL)[1]


def read_used(connection: sa.Connection, subnet_id: str) -> set[int]:
    """Read the addresses that are in use, or at rest."""
    query = (
        sa.select(_ALLOCATIONS.c.ip_address)
        .join(_IPAM_SUBNETS, _IPAM_SUBNETS.c.id == _ALLOCATIONS.c.ipam_subnet_id)
        .where(_IPAM_SUBNETS.c.neutron_subnet_id == subnet_id)
    )
    used = {int(ipaddress.ip_address(text)) for text in connection.scalars(query)}
    return used | resting.list_numbers(connection, subnet_id)
