"""The builder: events come in from machines and from power control, commands are carried out.

Each event is kept before anybody acts on it or is answered, so that a builder that is killed at any
moment goes on where it was. Commands are decided by `decide`, which is pure.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor

from isthmus import errors
from isthmus.build.boot.attempt import make_token
from isthmus.build.run.decide import Decision, Fail, Quarantine, Start, decide
from isthmus.build.run.protocols import EventLog, Power
from isthmus.build.run.standing import apply_event, fold_events
from isthmus.model.rack.build import BuildEvent, Happening, Stage, Standing
from isthmus.model.rack.fleet import Limits
from isthmus.model.rack.machine import Machine

#: How often timeouts are looked at, where no event comes; also the grain of the pacing.
TICK_S = 0.1
#: A machine that no plan names is told of once; more than this many are not remembered.
MOST_UNKNOWN = 1000


class Builder:
    """One run of a build."""

    def __init__(  # noqa: PLR0913 - the one place where everything meets
        self,
        queue: Sequence[Machine],
        events: Iterable[BuildEvent],
        *,
        log: EventLog,
        power: Power,
        pool: Executor,
        limits: Limits,
        key: bytes,
        specs: Mapping[str, str],
        anew: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Resume a build from its log.

        Args:
            queue: the machines to build, in the order of the plan's waves.
            events: what was kept so far.
            log: where events are kept.
            power: power control.
            pool: what its calls run in, since each may take seconds.
            limits: of the fleet file.
            key: what tokens are made with.
            specs: digest of what each machine is to become.
            anew: machines that run and are to be written anew.
            clock: seconds since 1970.
        """
        self._machines = {one.name: one for one in queue}
        self._queue = tuple(queue)
        self._log = log
        self._power = power
        self._pool = pool
        self._limits = limits
        self._key = key
        self._specs = specs
        self._anew = set(anew)
        self._clock = clock
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._standings = fold_events(events)
        self._asks: Counter[str] = Counter()
        self._unknown: set[str] = set()
        self._by_mac = {one.mac: one for one in queue}
        self._record(BuildEvent(at=clock(), kind=Happening.BEGUN))
        for name in sorted(self._anew):
            # From here on it counts as not built; the attempt that follows may write its disk.
            before = self._standings.get(name, Standing(node=name))
            self._standings[name] = Standing(node=name, starts=before.starts, mac=before.mac)
        self._tokens: dict[str, str] = {}
        self._by_token: dict[str, str] = {}
        for machine in queue:
            self._renew_token(machine.name)

    @property
    def standings(self) -> dict[str, Standing]:
        """Return every machine's status."""
        with self._lock:
            return dict(self._standings)

    def find_machine(self, mac: str) -> Machine | None:
        """Find the machine that has a MAC."""
        return self._by_mac.get(mac)

    def token_of(self, node: str) -> str:
        """Return what a machine proves itself with in its present attempt."""
        with self._lock:
            return self._tokens[node]

    def find_by_token(self, token: str) -> Machine | None:
        """Find the machine whose present attempt a token belongs to."""
        with self._lock:
            return self._machines.get(self._by_token.get(token, ""))

    def _renew_token(self, node: str) -> None:
        """Revoke the tokens of earlier attempts."""
        one = self._standings.get(node, Standing(node=node))
        self._by_token.pop(self._tokens.pop(node, ""), None)
        if one.starts:
            token = make_token(self._key, node, one.starts)
            self._tokens[node] = token
            self._by_token[token] = node

    def may_wipe(self, node: str) -> bool:
        """Tell whether a machine's disk may be written though it holds something."""
        with self._lock:
            one = self._standings.get(node, Standing(node=node))
            return one.wrote or node in self._anew

    def note_asked(self, machine: Machine) -> Stage:
        """Record that a machine asked for its boot script; return its status before."""
        with self._lock:
            before = self._standings.get(machine.name, Standing(node=machine.name)).stage
            if before in {Stage.ENROLL, Stage.PROVISION, Stage.INSPECT}:
                self._asks[machine.name] += 1
                self._take(BuildEvent(at=self._clock(), kind=Happening.ASKED, node=machine.name))
            elif before is Stage.DEPLOY:
                self._take(
                    BuildEvent(
                        at=self._clock(),
                        kind=Happening.FAILED,
                        node=machine.name,
                        detail="it started over while its disk was being written",
                    )
                )
            return before

    def note_unknown(self, mac: str, address: str) -> None:
        """Record a boot request of a machine that no plan names."""
        with self._lock:
            if mac in self._unknown or len(self._unknown) >= MOST_UNKNOWN:
                return
            self._unknown.add(mac)
            self._record(
                BuildEvent(
                    at=self._clock(),
                    kind=Happening.UNKNOWN,
                    detail=f"{mac} at {address} is in no plan",
                    fields={"mac": mac},
                )
            )

    def report(
        self, machine: Machine, kind: Happening, fields: Mapping[str, str], detail: str = ""
    ) -> None:
        """Apply a machine's own report.

        Args:
            machine: which one reports.
            kind: what happened there.
            fields: what it says with it, such as its progress.
            detail: one sentence, where something failed.
        """
        self._take(
            BuildEvent(
                at=self._clock(), kind=kind, node=machine.name, detail=detail, fields=dict(fields)
            )
        )

    def _take(self, event: BuildEvent) -> None:
        """Append an event if it changes something; duplicates are dropped."""
        with self._lock:
            before = self._standings.get(event.node)
            trial = {event.node: before} if before is not None else {}
            if not apply_event(trial, event):
                return
            self._record(event)
        self._wake.set()

    def _record(self, event: BuildEvent) -> None:
        with self._lock:
            self._log.append(event)
            apply_event(self._standings, event)

    def resume(self) -> None:
        """Repeat what a builder that was killed may not have told power control."""
        with self._lock:
            for machine in self._queue:
                one = self._standings.get(machine.name)
                if one is not None and one.stage is Stage.ENROLL:
                    self._pool.submit(self._boot, machine, one.starts)

    def step(self) -> Decision:
        """Decide once, and carry it out."""
        with self._lock:
            found = decide(
                self._clock(), self._queue, self._standings, self._limits, asks=self._asks
            )
            for command in found.commands:
                match command:
                    case Start():
                        self._start(command)
                    case Fail():
                        self._take(self._event(Happening.FAILED, command.node, command.why))
                    case Quarantine():
                        self._take(self._event(Happening.QUARANTINED, command.node, command.why))
            return found

    def _event(self, kind: Happening, node: str, detail: str) -> BuildEvent:
        return BuildEvent(at=self._clock(), kind=kind, node=node, detail=detail)

    def _start(self, command: Start) -> None:
        machine = self._machines[command.node]
        self._asks[machine.name] = 0
        fields = {
            "attempt": str(command.attempt),
            "spec": self._specs[machine.name],
            "address": machine.address,
            "mac": machine.mac,
        }
        self._record(
            BuildEvent(at=self._clock(), kind=Happening.STARTED, node=machine.name, fields=fields)
        )
        self._renew_token(machine.name)
        self._pool.submit(self._boot, machine, self._standings[machine.name].starts)

    def _boot(self, machine: Machine, start: int) -> None:
        """Boot a machine from the network; the outcome is dropped once the attempt is over."""
        try:
            self._power.boot_from_network(machine)
            event = self._event(Happening.POWERED, machine.name, "")
        except errors.IsthmusError as exc:
            event = self._event(Happening.FAILED, machine.name, exc.message)
        with self._lock:
            one = self._standings.get(machine.name)
            if one is not None and one.starts == start:
                self._take(event)

    def run(self, stop: threading.Event, check: Callable[[], None] = lambda: None) -> Decision:
        """Run until every machine is active or given up, or `stop` is set.

        Args:
            stop: ends the run once what is under way was written down.
            check: called at every look; raises where going on makes no sense.
        """
        self.resume()
        found = self.step()
        while not found.is_over and not stop.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            check()
            found = self.step()
        why = "stopped" if stop.is_set() else found.halted or "all machines are done"
        self._record(BuildEvent(at=self._clock(), kind=Happening.ENDED, detail=why))
        return found
