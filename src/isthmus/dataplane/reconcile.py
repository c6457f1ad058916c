"""The thread that keeps a site's OVN rows equal to what its tables say.

It looks at everything when it starts and from time to time, and at what changed as soon as it is
told. After each write it looks again until there is nothing to do, so that of two processes that
write at once the one with the older knowledge corrects itself; every API process runs such a
thread, and no lock is needed, since all writes are idempotent.

While the site's tables may be older than its rows, because its database was restored, it writes
what contradicts nothing and what it was told of (`defer`); once they are not, it looks at
everything. The database may go back while this runs, so it asks for that before it compares
everything, and whenever the tables contradict a row that stands. What it was told of before they
went back counts no more then; while nobody can say, nothing that stands is touched.

What kinds of rows there are it takes from the registry. What only shadow ports need is written out
here: northd before 23.09 does not bind them, and of several processes one is to do it.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from isthmus import errors
from isthmus.dataplane import defer
from isthmus.dataplane import plan as plans
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind import responder
from isthmus.dataplane.kind.binding import Bind
from isthmus.dataplane.kind.exits.transit_network import ReleaseKey
from isthmus.dataplane.kind.remote_chassis import PutChassis
from isthmus.dataplane.kind.responder import RemoveResponder
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, PutShadowPort, RemoveShadowPort
from isthmus.dataplane.protocols import SiteTables, Source, Trust
from isthmus.dataplane.row_kind import Desired, Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import (
    CHASSIS,
    NETWORKS,
    NEW_GROUPS,
    NEW_SWITCHES,
    PORTS,
    ROUTERS,
    Dirty,
    Scope,
    choose_scope,
    expand,
)
from isthmus.model.dataplane.ovn import SWITCH_PREFIX

_LOG = logging.getLogger(__name__)

#: How often a look, a comparison and a write may follow each other before the next wake or sweep.
_ROUNDS = 5
#: After a database did not answer, in seconds; doubled up to the greatest.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: After a look that failed, whatever comes meanwhile.
_BLIND_PAUSE_S = 1.0
#: How long a shadow that another process made may stay unbound before this one looks, in seconds:
#: anything between, so that not all processes look at once.
_LATE_S = (1.0, 3.0)
#: How often a site that has not recovered is asked whether it has, in seconds: any process may have
#: ended its recovery.
_RECOVERING_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What the databases are to tell of, from any thread."""

    unbound: Callable[[str], None]  #: a shadow port that has lost, or not yet got, its binding
    made: Callable[[str], None]  #: the name of a switch or a port group that was just made
    moved: Callable[[str], None]  #: a trunk's subport that OVN has bound elsewhere, or nowhere
    #: A router that was just made, or has lost a row of ours, or whose way to another site is not
    #: bound as it should be.
    exits: Callable[[str], None]


def _ignore(_value: object) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What the rest of a site is told."""

    keys_low: Callable[[str], None] = _ignore  #: a network whose port keys run low
    moved: Callable[[str], None] = _ignore  #: a trunk's subport that OVN has bound elsewhere
    swept: Callable[[Observed], None] = _ignore  #: what a sweep read; nothing of ours is left to do


class Reconciler:
    """One a process; `wake` may be called from any thread."""

    def __init__(
        self,
        connect: Callable[[Events], OvnRows],
        tables: SiteTables,
        sweep_s: float,
        callbacks: Callbacks = Callbacks(),
        *,
        look: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            connect: opens the site's OVN databases and has them tell of events; may wait for them.
            tables: the site's own tables.
            sweep_s: how often to look at everything, in seconds.
            callbacks: who is told of what comes up.
            look: finds out whether the tables have gone back to a backup, by now; if they have,
                they do not count any more when it returns.
        """
        self._connect = connect
        self._tables = tables
        self._sweep_s = sweep_s
        self._callbacks = callbacks
        self._look = look
        self._condition = threading.Condition()
        self._dirty = Dirty(everything=True)
        self._awaited: set[str] = set()  # shadows that this process made and nobody has bound
        self._late: set[str] = set()  # shadows that wait for the process that made them
        self._trust = Trust.ALL  # what the tables counted for when all was looked at last
        self._heard: dict[str, set[str]] = {}  # what wakes named since then, by subject
        self._life: str | None = None  # of the tables; what was heard in another one is forgotten
        self._busy = False
        self._is_blind = False  # whether the last look at everything did not find out how old
        self._stopping = False
        self._connecting = threading.Lock()
        self._rows: OvnRows | None = None
        self._thread = threading.Thread(target=self._run, name="isthmus-ovn", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._thread.join()

    def wake(
        self, *, everything: bool = False, heard: bool = True, **touched: Collection[str] | bool
    ) -> None:
        """Have the thread look at something now.

        Args:
            everything: look at everything.
            heard: whether what the tables say of it is newer than what OVN has.
            touched: ids of what changed, by subject (`isthmus.dataplane.scope`), True for all of
                it: `ports` that came, changed or went, `networks` whose subnets or routers changed,
                `routers` whose exits did,
                `groups` (names of port groups) and `chassis` (names) that shadows left, and what
                else a kind of rows asks for.
        """
        with self._condition:
            self._dirty.everything |= everything
            for subject, ids in touched.items():
                self._dirty.add(subject, ids)
                if heard and not isinstance(ids, bool):
                    self._heard.setdefault(subject, set()).update(ids)
            self._condition.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to look at; False when time is up."""
        with self._condition:
            return self._condition.wait_for(
                lambda: not (self._dirty or self._busy or self._late), timeout_s
            )

    def _made(self, name: str) -> None:
        with self._condition:
            if name.startswith(SWITCH_PREFIX):
                self._dirty.add(NEW_SWITCHES, [name.removeprefix(SWITCH_PREFIX)])
            else:
                self._dirty.add(NEW_GROUPS, [name])
            self._condition.notify_all()

    def _exits_changed(self, router_id: str) -> None:
        with self._condition:
            self._dirty.add(ROUTERS, [router_id])
            self._condition.notify_all()

    def _unbound(self, port_id: str) -> None:
        """Bind at once what this process made; leave the rest to its maker for a while."""
        with self._condition:
            if port_id in self._awaited:
                self._dirty.add(PORTS, [port_id])
            else:
                self._late.add(port_id)
            self._condition.notify_all()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        next_sweep = time.monotonic()
        while True:
            again = time.monotonic() + _RECOVERING_S
            dirty = self._take(min(next_sweep, again) if self._trust < Trust.ALL else next_sweep)
            if dirty is None:
                return
            try:
                dirty.everything |= self._trust < Trust.ALL and self._trust < self._read_age().trust
                if dirty.everything or time.monotonic() >= next_sweep:
                    self._reconcile_everything()
                    next_sweep = time.monotonic() + self._sweep_s
                elif dirty:
                    self._reconcile_part(dirty)
                pause_s = _FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001  (a worker's loop)
                expected = isinstance(error, errors.Transient)
                _LOG.warning(
                    "OVN rows are looked at again in %.1f s: %s",
                    pause_s,
                    error,
                    exc_info=not expected,
                )
                self._put_back(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            finally:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()

    def _read_age(self) -> defer.Age:
        with self._tables.reading() as source:
            return self._find_age(source)

    def _find_age(self, source: Source) -> defer.Age:
        """Read what the tables count for; forget what was heard before they went back."""
        age = defer.Age(trust=source.trust(), life=source.life())
        with self._condition:
            if self._life not in (None, age.life):
                self._heard.clear()
            self._life = age.life
        return age

    def _take(self, next_look: float) -> Dirty | None:
        """Wait for something to do; None when it is time to end."""
        with self._condition:
            while not self._stopping and not self._dirty:
                timeout_s = next_look - time.monotonic()
                if timeout_s <= 0:
                    break
                if not self._late:
                    self._condition.wait(timeout_s)
                elif not self._condition.wait(min(timeout_s, random.uniform(*_LATE_S))):  # noqa: S311
                    self._dirty.add(PORTS, self._late)
                    self._late.clear()
            if self._stopping:
                return None
            dirty, self._dirty = self._dirty, Dirty()
            self._busy = True
            return dirty

    def _put_back(self, pause_s: float) -> None:
        """Keep what could not be done, and wait; the end of the process cuts the wait short.

        So does what comes, where OVN is there and only nobody knows how old the tables are.
        """
        with self._condition:
            self._dirty.everything = True
            came = self._dirty.subjects.values()
            at_least = min(pause_s, _BLIND_PAUSE_S)
            self._condition.wait_for(lambda: self._stopping, at_least)
            pause_s -= at_least
            self._condition.wait_for(
                lambda: self._stopping or (self._is_blind and any(came)), pause_s
            )

    def rows(self) -> OvnRows:
        """Return the databases, connecting the first time."""
        with self._connecting:
            if self._rows is None:
                self._rows = self._connect(
                    Events(
                        unbound=self._unbound,
                        made=self._made,
                        moved=self._callbacks.moved,
                        exits=self._exits_changed,
                    )
                )
            return self._rows

    def _reconcile_everything(self) -> None:
        rows = self.rows()
        unknown: errors.IsthmusError | None = None
        try:
            self._look()
        except errors.IsthmusError as error:  # what contradicts no row is written nevertheless
            unknown = error
        self._is_blind = unknown is not None
        if unknown is None:
            self._complete_keys()
        for _ in range(_ROUNDS):
            with self._tables.reading() as source:
                scope = Scope.everything(source.networks())
            observed = plans.observe(rows, scope)
            with self._tables.reading() as source:
                desired = plans.read_desired(source, scope, observed)
                age = self._find_age(source)
            if unknown is not None:
                age = defer.Age(trust=Trust.NONE, life=age.life, heard=False)
            if not self._step(rows, desired, observed, age=age):
                break
        if unknown is not None:
            raise unknown
        with self._condition:
            self._trust = age.trust
            if age.trust is Trust.ALL:
                self._heard.clear()
        if age.trust >= Trust.OWN:
            self._callbacks.swept(observed)

    def _reconcile_part(self, dirty: Dirty) -> None:
        rows = self.rows()
        if dirty.ids(NEW_SWITCHES) or dirty.ids(NEW_GROUPS):
            with self._tables.reading() as source:
                expand(dirty, source)
        if dirty.ids(NETWORKS):
            self._complete_responder_keys(dirty.ids(NETWORKS))
        for _ in range(_ROUNDS):
            with self._tables.reading() as source:
                scope = choose_scope(dirty, source)
            observed = plans.observe(rows, scope)
            left = observed.of(SHADOW_PORT).ports.values()
            dirty.add(CHASSIS, {row.chassis for row in left})
            with self._tables.reading() as source:
                desired = plans.read_desired(source, scope, observed)
                age = self._find_age(source)
            self._trust = min(self._trust, age.trust)
            if not self._step(rows, desired, observed, age=age):
                return

    def _step(self, rows: OvnRows, desired: Desired, observed: Observed, *, age: defer.Age) -> bool:
        """Write what differs; False when nothing does, or nothing more can be done.

        Raises:
            Busy: the tables have turned out to be old since they were read.
        """
        capability = parse_capability(rows.northd_version())
        plan = plans.diff_rows(desired, observed, capability)
        if age.trust < Trust.ALL:
            with self._condition:
                told = self._heard if age.heard else {}
                heard = {subject: frozenset(ids) for subject, ids in told.items()}
            plan, later = defer.split(plan, desired, observed, heard, age.trust)
            if later:
                what = (
                    "recovered" if age.trust is Trust.NONE else "heard of the ports of other sites"
                )
                what = what if age.heard else "found out how old its database is"
                _LOG.info("%d OVN rows wait until this site has %s", later.size(), what)
        if not plan:
            return False
        if age.heard and defer.contradicts(plan, desired, observed):
            self._look()  # only what comes after they were read tells how old the tables are
            now = self._read_age()
            if now.trust < age.trust or now.life != age.life:
                raise errors.Busy("this site was restored just now: its tables are read again")
        with self._condition:
            if not capability.binds_remote:
                self._awaited |= {one.row.port_id for one in plan.of(PutShadowPort)}
            self._awaited -= {one.port_id for one in plan.of(Bind)}
            self._awaited -= {one.port_id for one in plan.of(RemoveShadowPort)}
            if plan.of(PutChassis):  # a router may have waited for one of that site
                self._dirty.add(ROUTERS, True)
            # Whoever loses a key may have got another one.
            self._dirty.add(ROUTERS, {one.router_id for one in plan.of(ReleaseKey)})
        _LOG.info("Changing %d OVN rows of stretched networks", plan.size())
        refused = plans.apply_plan(rows, plan)
        gone = [one.row.port_id for one in plan.of(RemoveResponder)]
        if gone:
            self._tables.free_keys(gone)
        return not refused

    def _complete_keys(self) -> None:
        """Allocate keys for ports that came without one, such as by Neutron's sync tool."""
        with self._tables.reading() as source:
            missing = source.list_keyless_ports()
        for network_id, port_id in missing:
            self._give_key(network_id, port_id)
        self._complete_responder_keys(None)

    def _complete_responder_keys(self, networks: Collection[str] | None) -> None:
        with self._tables.reading() as source:
            missing = responder.list_keyless(source, networks)
        for network_id, port_id in missing:
            self._give_key(network_id, port_id)

    def _give_key(self, network_id: str, port_id: str) -> None:
        try:
            low = self._tables.allocate_key(network_id, port_id)
        except errors.Exhausted as error:
            _LOG.warning("Port %s waits for a key: %s", port_id, error)
            low = True
        except errors.Busy as error:  # restored: it gets one once the site has recovered
            _LOG.info("Port %s waits for a key: %s", port_id, error)
            return
        if low:
            self._callbacks.keys_low(network_id)
