"""The rest of numbers at a site: when they may be used again, and which the site has to give up.

A number that a port released rests until central says that every site has heard. A port that moved
to another site took its address along. Such an address is cut out of the site's lease, and becomes
central's once it has been returned (ADR 0065).
"""

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from isthmus.clients.http.central import CentralClient
from isthmus.federation.leases import lease as arithmetic
from isthmus.federation.leases.lease import MOST_RETURNS
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.local.lease.giving import read_seen
from isthmus.store.leases import resting
from isthmus.store.local import lease as site_lease
from isthmus.store.ports import port_key
from isthmus.store.sql.engine import reading, writing

#: Limit of questions about one pool in a sweep: as many numbers as the largest lease has.
_MOST_QUESTIONS = arithmetic.MOST_OF_A_RETURN // MOST_RETURNS

#: A number at rest, and its former port.
_Resting = tuple[int, str]
#: Gives, by the site's database and OVN, those that are not to be used.
FindStanding = Callable[[sa.Connection, PoolKind, Collection[_Resting]], Collection[_Resting]]


class Rest:
    """Ends the rest of numbers; one for each keeper."""

    def __init__(
        self,
        site: SiteName,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        *,
        find_standing: FindStanding,
    ) -> None:
        """Initialise.

        Args:
            site: this site.
            client: returns the client for central, once this process needs it.
            engine: returns the site's database.
            find_standing: returns which numbers still stand in OVN with their former ports: those
                are not used.
        """
        self._site = site
        self._client = client
        self._engine = engine
        self._find_standing = find_standing
        self._after: dict[tuple[PoolKind, str], int] = {}  #: the last number asked about

    def end_all(self, kind: PoolKind, pool_id: str) -> int:
        """Ask about every number at rest of a pool, or go on where the last sweep has stopped.

        Args:
            kind: type of the pool.
            pool_id: the subnet or network.

        Returns:
            How many numbers may be used again.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        over = 0
        for _ in range(_MOST_QUESTIONS):
            over += self.end(kind, pool_id)
            if (kind, pool_id) not in self._after:
                break
        return over

    def end(self, kind: PoolKind, pool_id: str) -> int:
        """Ask about the next numbers at rest of a pool, from the start again after the last one.

        Args:
            kind: type of the pool.
            pool_id: the subnet or network.

        Returns:
            How many of them may be used again.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        where = (kind, pool_id)
        after = self._after.pop(where, None)
        asked = self._list(kind, pool_id, -1 if after is None else after)
        if after is not None and not asked:  # the last ones have ended
            asked = self._list(kind, pool_id, -1)
        if len(asked) == MOST_RETURNS:
            self._after[where] = asked[-1][0]
        with reading(self._engine()) as connection:
            standing = set(self._find_standing(connection, kind, asked) if asked else ())
        asked = [one for one in asked if one not in standing]
        if not asked:
            return 0
        news = {"resting": [{"number": str(number), "port": port} for number, port in asked]}
        seen = read_seen(self._engine())
        answer = self._client().request_leases(kind.value, pool_id, news=news)
        over = [one for one in asked if one[0] not in answer.resting | answer.elsewhere]
        if kind is PoolKind.PORT_KEY:
            with writing(self._engine()) as connection:
                return port_key.end_rest(connection, pool_id, over)
        moved = [one for one in asked if one[0] in answer.elsewhere]
        with writing(self._engine()) as connection:
            # Central may have granted one of them since; what it listed with its answer is known.
            added = site_lease.add(connection, self._site, answer.leases)
            gone = [number for number, _ in _still_so(connection, pool_id, moved)]
            self._cut_out(connection, pool_id, gone)
            free = [number for number, _ in _still_so(connection, pool_id, over)]
            resting.delete(connection, pool_id, [*gone, *free])
            site_lease.refuse_overtaken(connection, answer.leases, added, seen=seen)
        return len(free)

    def _list(self, kind: PoolKind, pool_id: str, after: int) -> list[_Resting]:
        with reading(self._engine()) as connection:
            if kind is PoolKind.PORT_KEY:
                return port_key.list_resting(connection, pool_id, MOST_RETURNS, after=after)
            return resting.list_acknowledged(connection, pool_id, MOST_RETURNS, after=after)

    def _cut_out(self, connection: sa.Connection, pool_id: str, gone: Collection[int]) -> None:
        """Set aside, of the site's leases, addresses that ports have taken to other sites."""
        if not gone:
            return
        runs = arithmetic.merge(Block(one, one) for one in gone)
        for lease_id, _ in site_lease.read_leases(connection, PoolKind.SUBNET, pool_id):
            block = site_lease.lock(connection, lease_id)
            if block is not None:
                parts = arithmetic.intersect(runs, [block])
                site_lease.cut_out(connection, self._site, pool_id, lease_id, parts[::-1])


def _still_so(connection: sa.Connection, pool_id: str, asked: Sequence[_Resting]) -> list[_Resting]:
    """Return those that have not been used and released again since they were asked about."""
    unheard = resting.find_unacknowledged(connection, {port_id for _, port_id in asked})
    return [
        (number, port_id)
        for number, port_id in asked
        if port_id not in unheard and resting.find_port(connection, pool_id, number) == port_id
    ]
