"""The keeper: requests the next block before the last one is used up, and returns idle ones.

A thread in each API process. A transaction that takes an address and sees that blocks run low
notifies it; it then counts exactly, and asks central only if necessary. A periodic sweep looks at
every pool, because nothing is notified when blocks become idle. Where several processes do this at
once, a pool gets at worst one block too many, which is returned later.
"""

import functools
import ipaddress
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from neutron.db import models_v2
from oslo_log import log as logging

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.federation.leases import lease as arithmetic
from isthmus.journal import crash
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.local.ipam import LOW_WATER
from isthmus.neutron.local.lease.giving import Giving, read_seen, read_used
from isthmus.neutron.local.lease.rest import FindStanding, Rest
from isthmus.store.leases import resting, returns
from isthmus.store.local import lease as site_lease
from isthmus.store.ports import port_key
from isthmus.store.sql.engine import reading, writing

LOG = logging.getLogger(__name__)

#: Minimum seconds between two counts of a pool.
_RECOUNT_S = 1.0
#: How long a returned part is kept once central was told, in seconds: far longer than a call or the
#: claim of a batch can take. Each process measures it itself, so that neither a clock that jumps
#: nor a database that was moved to another host cuts it short.
REST_S = 600.0

#: How often central is asked for leases while batches deal with the same pool.
_OVERTAKEN = 6

_POOLS = models_v2.IPAllocationPool.__table__


class Keeper:
    """Keeps the number of the site's leases between a low and a high mark."""

    def __init__(
        self,
        site: SiteName,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        *,
        sweep_s: float,
        idle_s: float,
        find_standing: FindStanding = lambda _connection, _kind, _given_up: (),
        before_returning: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Initialise the keeper; nothing runs before `start`.

        Args:
            site: this site.
            client: returns the client for central, once this process needs it.
            engine: returns the site's database.
            sweep_s: seconds between two sweeps over every pool.
            idle_s: seconds that a lease is idle before it is returned, so that a transaction that
                read it before has ended.
            find_standing: returns which numbers still stand in OVN with their former ports.
            before_returning: called before central is told of returned leases.
            monotonic: the clock with which this process measures how long it has known something.
        """
        self._site = site
        self._client = client
        self.engine = engine
        self._sweep_s = sweep_s
        self._giving = Giving(site, client, engine, idle_s=idle_s, before_telling=before_returning)
        self._rest = Rest(site, client, engine, find_standing=find_standing)
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._queued: set[tuple[str, PoolKind, str]] = set()  # what has yet to begin
        self._counted_at: dict[str, float] = {}
        self._monotonic = monotonic
        self._told_at: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def notify_low(self, kind: PoolKind, pool_id: str, *, count: int = 0) -> None:
        """Notify the keeper that a pool's blocks may run low; return at once.

        Args:
            kind: type of the pool.
            pool_id: the subnet or network.
            count: how many more numbers are needed, if the caller knows; otherwise they are
                counted.
        """
        at = self._counted_at.get(pool_id, 0.0)
        if time.monotonic() - at < _RECOUNT_S:
            return
        self._counted_at[pool_id] = time.monotonic()
        self._queue.put(functools.partial(self.top_up, kind, pool_id, count=count))

    def notify_rested(self, kind: PoolKind, pool_id: str) -> None:
        """Have the thread find out what of a pool has rested enough; return at once."""
        self._put_once("rest", kind, pool_id, self.end_rest)

    def answer_recall(self, pool_id: str) -> None:
        """Have the thread return what central recalls of a subnet; return at once.

        The recall is in the database: if this process ends, or central does not answer, the next
        sweep continues with it.
        """
        self._put_once("recall", PoolKind.SUBNET, pool_id, self._answer_recall)

    def _put_once(
        self, what: str, kind: PoolKind, pool_id: str, work: Callable[[PoolKind, str], object]
    ) -> None:
        """Queue work that has yet to begin once: with central away each call of it takes long."""
        key = (what, kind, pool_id)
        if key in self._queued:
            return
        self._queued.add(key)

        def begin() -> None:
            self._queued.discard(key)
            work(kind, pool_id)

        self._queue.put(begin)

    def start(self) -> None:
        """Start the thread of this process."""
        self._thread = threading.Thread(target=self._run, name="isthmus-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def fetch(
        self, kind: PoolKind, pool_id: str, *, count: int = 0, address: str | None = None
    ) -> list[str]:
        """Request numbers of a pool from central now.

        Args:
            kind: type of the pool.
            pool_id: the subnet or network.
            count: how many; central may lease fewer.
            address: a particular address, None for any.

        Returns:
            The ids of the new leases.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        if count and self.end_rest(kind, pool_id) >= count:
            return []
        for left in reversed(range(_OVERTAKEN)):
            try:
                return self._request(kind, pool_id, count=count, address=address)
            except errors.Stale:
                if not left:
                    raise
        raise AssertionError

    def _request(
        self, kind: PoolKind, pool_id: str, *, count: int, address: str | None = None
    ) -> list[str]:
        seen = read_seen(self.engine())
        answer = self._client().request_leases(kind.value, pool_id, count=count, address=address)
        crash.point("lease.answered")
        with writing(self.engine()) as connection:
            added = site_lease.add(connection, self._site, answer.leases)
            site_lease.refuse_overtaken(connection, answer.leases, added, seen=seen)
            return added

    def end_rest(self, kind: PoolKind, pool_id: str) -> int:
        """End the rest of numbers of whose former ports every site has heard, and OVN has no row.

        Returns:
            How many there are.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        return self._rest.end(kind, pool_id)

    def _run(self) -> None:
        next_sweep = time.monotonic() + self._sweep_s
        while True:
            try:
                work = self._queue.get(timeout=max(0.0, next_sweep - time.monotonic()))
            except queue.Empty:
                next_sweep = time.monotonic() + self._sweep_s
                self._guarded(self.sweep)
                continue
            if work is None:
                return
            self._guarded(work)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except errors.Transient as error:
            LOG.info("Leases are retried later: %s", error.message)
        except errors.IsthmusError as error:
            LOG.warning("Central refuses a lease: %s", error.message)
        except Exception:  # the boundary of a worker loop
            LOG.exception("The lease keeper failed and continues")

    def top_up(self, kind: PoolKind, pool_id: str, *, count: int = 0) -> bool:
        """Request the next block if the pool runs low.

        Returns:
            Whether there is a new one.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        if not count and kind is PoolKind.SUBNET:
            blocks, used, size = self._read(pool_id)
            # The caller has not committed the address that it takes.
            if not blocks or not arithmetic.runs_dry(blocks, len(used) + 1, LOW_WATER, size):
                self._counted_at.pop(pool_id, None)  # the next notification counts at once
                return False
            # It grows with what the site uses.
            count = 2 * arithmetic.low_mark(blocks, LOW_WATER, size)
        if not count or self.end_rest(kind, pool_id) >= count:
            return False
        # If a batch overtakes the answer, the pool may be gone: the next sweep counts again.
        return bool(self._request(kind, pool_id, count=count))

    def count_free(self, pool_id: str) -> int:
        """Count the addresses of a subnet that this site may allocate now."""
        blocks, used, _ = self._read(pool_id)
        return arithmetic.count(blocks) - len(used)

    def sweep(self) -> None:
        """Check every pool of addresses: request where it runs low, return what is idle.

        Raises:
            Transient: the site's database does not answer.
        """
        with reading(self.engine()) as connection:
            rests = resting.list_pools(connection)
            networks = port_key.list_resting_networks(connection)
        for pool_id in rests:
            self._guarded(functools.partial(self._rest.end_all, PoolKind.SUBNET, pool_id))
        for pool_id in networks:
            self._guarded(functools.partial(self._rest.end_all, PoolKind.PORT_KEY, pool_id))
        with reading(self.engine()) as connection:
            pools = site_lease.find_pools(connection)
        for pool_id in pools:  # an error of one does not affect the others
            self._guarded(functools.partial(self._keep_level, pool_id))
            self._guarded(functools.partial(self._tell, pool_id))
        self._forget_told()

    def _forget_told(self) -> None:
        """Delete returned parts that central has, to this process's knowledge, had for `REST_S`."""
        with reading(self.engine()) as connection:
            acknowledged = returns.list_acknowledged(connection)
        now = self._monotonic()
        self._told_at = {one: self._told_at.get(one, now) for one in acknowledged}
        if over := [one for one, since in self._told_at.items() if now - since >= REST_S]:
            with writing(self.engine()) as connection:
                returns.forget(connection, over)

    def _keep_level(self, pool_id: str) -> None:
        """Request more of a subnet, or set aside whole blocks that the site does not need."""
        if self.top_up(PoolKind.SUBNET, pool_id):
            return
        blocks, used, size = self._read(pool_id)
        idle = {
            give.block
            for give in arithmetic.plan_returns(blocks, used, LOW_WATER, size)
            if give.keep is None
        }
        self._giving.set_aside(pool_id, idle | self._find_outside(pool_id))

    def _find_outside(self, pool_id: str) -> set[Block]:
        """Return leases outside the pools: such addresses are allocated only on explicit request.

        Those in use are included; they are not set aside.
        """
        with reading(self.engine()) as connection:
            blocks = site_lease.read_blocks(connection, PoolKind.SUBNET, pool_id)
            pools = _read_pools(connection, pool_id)
        return {one for one in blocks if pools and not arithmetic.intersect([one], pools)}

    def _answer_recall(self, kind: PoolKind, pool_id: str) -> None:
        """Return what is idle of what central recalls, and report it at once."""
        self._guarded(functools.partial(self.end_rest, kind, pool_id))
        self._tell(pool_id)

    def _tell(self, pool_id: str) -> None:
        self._giving.cut_out_asked(pool_id)
        self._giving.tell(pool_id)

    def _read(self, pool_id: str) -> tuple[Sequence[Block], set[int], int | None]:
        """Read the blocks of a pool, which of their numbers are in use, and the pool's size.

        Only what lies in the allocation pools counts, as far as these are here yet.
        """
        with reading(self.engine()) as connection:
            blocks = site_lease.read_blocks(connection, PoolKind.SUBNET, pool_id)
            pools = _read_pools(connection, pool_id)
            if pools:
                blocks = arithmetic.intersect(blocks, pools)
            used = _within(read_used(connection, pool_id), blocks)
            return blocks, used, arithmetic.count(pools) or None


def _read_pools(connection: sa.Connection, subnet_id: str) -> list[Block]:
    """Read the allocation pools of a subnet; none where it is not here yet."""
    query = sa.select(_POOLS.c.first_ip, _POOLS.c.last_ip).where(_POOLS.c.subnet_id == subnet_id)
    return arithmetic.merge(
        Block(int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)))
        for first, last in connection.execute(query)
    )


def _within(numbers: Iterable[int], blocks: Sequence[Block]) -> set[int]:
    return {number for number in numbers if any(number in block for block in blocks)}
