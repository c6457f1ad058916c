"""The thread that keeps a site's OVN rows equal to what its tables say.

It looks at everything when it starts and from time to time, and at what changed as soon as it is
told. After each write it looks again until there is nothing to do, so that of two processes that
write at once the one with the older knowledge corrects itself; every API process runs such a
thread, and no lock is needed, since all writes are idempotent.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.clients.ovsdb import ovn_connection, ovn_write
from isthmus.clients.ovsdb.ovn import SWITCH_PREFIX, OvnRows
from isthmus.dataplane import responder
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.ovn_diff import diff_rows
from isthmus.federation.rewrite import plan_rewrites
from isthmus.model.dataplane.ovn import Desired, Observed
from isthmus.neutron.db.session import now, reading, writing
from isthmus.neutron.local.lease import port_keys
from isthmus.neutron.local.ovn import desired_rows, rewriter
from isthmus.store.ports import port_key, shadow

_LOG = logging.getLogger(__name__)

#: How often a look, a comparison and a write may follow each other before the next wake or sweep.
_ROUNDS = 5
#: After a database did not answer, in seconds; doubled up to the greatest.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: How long a shadow that another process made may stay unbound before this one looks, in seconds:
#: anything between, so that not all processes look at once.
_LATE_S = (1.0, 3.0)


@dataclass(slots=True)
class _Dirty:
    """What has to be looked at."""

    everything: bool = False
    ports: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)  #: their responders
    switches: set[str] = field(default_factory=set)  #: networks whose switch was just made
    groups: set[str] = field(default_factory=set)  #: names of port groups left
    new_groups: set[str] = field(default_factory=set)  #: names of port groups just made
    chassis: set[str] = field(default_factory=set)
    all_chassis: bool = False

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


class Reconciler:
    """One a process; `wake` may be called from any thread."""

    def __init__(
        self,
        connect: Callable[[], OvnRows],
        sweep_s: float,
        keys_low: Callable[[str], None] = lambda _network_id: None,
        moved: Callable[[str], None] = lambda _port_id: None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            connect: gives the site's OVN databases; may wait for them.
            sweep_s: how often to look at everything, in seconds.
            keys_low: is told of a network whose port keys run low.
            moved: is told of a trunk's subport that OVN has bound elsewhere.
        """
        self._connect = connect
        self._sweep_s = sweep_s
        self._keys_low = keys_low
        self._moved = moved
        self._condition = threading.Condition()
        self._dirty = _Dirty(everything=True)
        self._awaited: set[str] = set()  # shadows that this process made and nobody has bound
        self._late: set[str] = set()  # shadows that wait for the process that made them
        self._busy = False
        self._stopping = False
        self._connecting = threading.Lock()
        self._rows: OvnRows | None = None
        self._paces = ovn_write.Paces.start()
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
        self,
        *,
        ports: Collection[str] = (),
        networks: Collection[str] = (),
        groups: Collection[str] = (),
        chassis: Collection[str] | bool = (),
        everything: bool = False,
    ) -> None:
        """Have the thread look at something now.

        Args:
            ports: shadows that came, changed or went.
            networks: networks whose subnets or routers changed.
            groups: names of port groups that shadows left.
            chassis: names of hypervisors that shadows left, or True for all.
            everything: look at everything.
        """
        with self._condition:
            dirty = self._dirty
            dirty.everything |= everything
            dirty.ports.update(ports)
            dirty.networks.update(networks)
            dirty.groups.update(groups)
            if chassis is True:
                dirty.all_chassis = True
            elif chassis is not False:
                dirty.chassis.update(chassis)
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
                self._dirty.switches.add(name.removeprefix(SWITCH_PREFIX))
            else:
                self._dirty.new_groups.add(name)
            self._condition.notify_all()

    def _unbound(self, port_id: str) -> None:
        """Bind at once what this process made; leave the rest to its maker for a while."""
        with self._condition:
            if port_id in self._awaited:
                self._dirty.ports.add(port_id)
            else:
                self._late.add(port_id)
            self._condition.notify_all()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        next_sweep = time.monotonic()
        while True:
            dirty = self._take(next_sweep)
            if dirty is None:
                return
            try:
                if dirty.everything or time.monotonic() >= next_sweep:
                    self._reconcile_everything()
                    next_sweep = time.monotonic() + self._sweep_s
                else:
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
                self._put_back(dirty, pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            finally:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()

    def _take(self, next_sweep: float) -> _Dirty | None:
        """Wait for something to do; None when it is time to end."""
        with self._condition:
            while not self._stopping and not self._dirty:
                timeout_s = next_sweep - time.monotonic()
                if timeout_s <= 0:
                    break
                if not self._late:
                    self._condition.wait(timeout_s)
                elif not self._condition.wait(min(timeout_s, random.uniform(*_LATE_S))):  # noqa: S311
                    self._dirty.ports |= self._late
                    self._late.clear()
            if self._stopping:
                return None
            dirty, self._dirty = self._dirty, _Dirty()
            self._busy = True
            return dirty

    def _put_back(self, dirty: _Dirty, pause_s: float) -> None:
        """Keep what could not be done, and wait; the end of the process cuts the wait short."""
        with self._condition:
            self._dirty.everything = True
            self._condition.wait_for(lambda: self._stopping, pause_s)

    def rows(self) -> OvnRows:
        """Give the databases, connecting the first time."""
        with self._connecting:
            if self._rows is None:
                rows = self._connect()
                ovn_connection.watch(
                    rows, unbound=self._unbound, made=self._made, moved=self._moved
                )
                self._rows = rows
            return self._rows

    def _reconcile_everything(self) -> None:
        rows = self.rows()
        self._complete_keys()
        for _ in range(_ROUNDS):
            with reading(n_context.get_admin_context()) as connection:
                networks = desired_rows.list_networks(connection)
            observed = rows.observe(networks)
            with reading(n_context.get_admin_context()) as connection:
                desired = desired_rows.read_all(connection, observed.groups)
            if not self._step(rows, desired, observed):
                break
        _have_written_again(observed)

    def _reconcile_part(self, dirty: _Dirty) -> None:
        rows = self.rows()
        self._expand(dirty)
        if dirty.networks:
            self._complete_responder_keys(dirty.networks)
        for _ in range(_ROUNDS):
            context = n_context.get_admin_context()
            with reading(context) as connection:
                scope = desired_rows.choose_scope(
                    connection,
                    ports=dirty.ports,
                    networks=dirty.networks,
                    groups=dirty.groups,
                    chassis=None if dirty.all_chassis else dirty.chassis,
                )
            observed = rows.observe_scope(scope)
            dirty.chassis |= {row.chassis for row in observed.ports.values()}
            with reading(n_context.get_admin_context()) as connection:
                desired = desired_rows.read_scope(connection, scope, observed.groups)
            if not self._step(rows, desired, observed):
                return

    def _expand(self, dirty: _Dirty) -> None:
        """Find the shadows that new switches and port groups concern."""
        if not dirty.switches and not dirty.new_groups:
            return
        with reading(n_context.get_admin_context()) as connection:
            waiting = shadow.list_shadows(connection, network_ids=dirty.switches)
            dirty.ports |= {one.port_id for one in waiting}
            groups = [desired_rows.group_id(name) for name in dirty.new_groups]
            dirty.ports |= set(shadow.list_ids_of_groups(connection, groups))
        dirty.networks |= dirty.switches

    def _step(self, rows: OvnRows, desired: Desired, observed: Observed) -> bool:
        """Write what differs; False when nothing does, or nothing more can be done."""
        capability = parse_capability(rows.northd_version())
        plan = diff_rows(desired, observed, capability)
        if not plan:
            return False
        with self._condition:
            if not capability.binds_remote:
                self._awaited |= {one.port_id for one in plan.put_ports}
            self._awaited -= {port_id for port_id, _ in plan.bind}
            self._awaited -= {port_id for _, port_id in plan.remove_ports}
        _LOG.info("Changing %d OVN rows of stretched networks", plan.size())
        refused = ovn_write.apply_plan(rows, plan, self._paces)
        if plan.remove_responders:
            gone = [one.port_id for one in plan.remove_responders]
            with writing(n_context.get_admin_context()) as connection:
                port_key.free(connection, gone, now())
        return not refused

    def _complete_keys(self) -> None:
        """Give keys to ports that came by a way that gives none, such as Neutron's sync tool."""
        with reading(n_context.get_admin_context()) as connection:
            missing = desired_rows.list_keyless_ports(connection)
            networks = desired_rows.list_networks(connection)
        for network_id, port_id in missing:
            self._give_key(network_id, port_id)
        self._complete_responder_keys(networks)

    def _complete_responder_keys(self, networks: Collection[str]) -> None:
        with reading(n_context.get_admin_context()) as connection:
            stretched = desired_rows.list_networks(connection).keys() & set(networks)
            subnets = desired_rows.list_ra_subnets(connection, stretched)
            wanted = [
                (key.network_id, responder.name_port(key))
                for key in responder.group_subnets(subnets)
            ]
            missing = [one for one in wanted if port_key.find_key(connection, one[1]) is None]
        for network_id, port_id in missing:
            self._give_key(network_id, port_id)

    def _give_key(self, network_id: str, port_id: str) -> None:
        try:
            with writing(n_context.get_admin_context()) as connection:
                allocation = port_keys.allocate(connection, network_id, port_id)
        except errors.Exhausted as error:
            _LOG.warning("Port %s waits for a key: %s", port_id, error)
            self._keys_low(network_id)
            return
        if allocation is not None and allocation.low:
            self._keys_low(network_id)


def _have_written_again(observed: Observed) -> None:
    """Have Neutron write what OVN lost, or has of another time, of what Neutron itself writes."""
    with reading(n_context.get_admin_context()) as connection:
        rewrites = plan_rewrites(rewriter.list_written(connection, observed))
    if not rewrites:
        return
    _LOG.warning(
        "OVN is of another time than Neutron's database: Neutron's maintenance worker is to write "
        "%d objects again",
        len(rewrites.forget) + len(rewrites.lift),
    )
    with writing(n_context.get_admin_context()) as connection:
        rewriter.apply(connection, rewrites)


def connect_to_neutron() -> OvnRows:
    """Use the connections of Neutron's OVN driver in this process; waits until they are there."""
    driver = directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj
    return OvnRows(driver.nb_ovn, driver.sb_ovn)
