"""One run of a build: from a sound fleet file to boot services that serve until all is done."""

import os
import secrets
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors
from isthmus.build.boot import ipxe, services
from isthmus.build.boot.place import START, Place
from isthmus.build.fleet.load import Loaded
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.build.plan.plan import make_plan
from isthmus.build.plan.spec import digest
from isthmus.build.run.answers import Answers
from isthmus.build.run.builder import Builder
from isthmus.build.run.protocols import EventLog, Tools
from isthmus.build.run.standing import fold_events
from isthmus.model.rack.build import BuildEvent, BuildPlan, Stage, Standing, Verb
from isthmus.model.rack.machine import Machine

#: Controllers that are spoken to at a time; each may take seconds.
POWER_THREADS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a person says to a run."""

    state: Path
    images: Path
    ramdisk: Path | None = None
    secrets: Path | None = None
    rebuild: Collection[str] = ()
    only: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    standings: dict[str, Standing]
    chosen: tuple[str, ...]
    halted: str
    stopped: bool

    @property
    def quarantined(self) -> tuple[str, ...]:
        """List the machines that were given up."""
        return tuple(
            name
            for name in self.chosen
            if name in self.standings and self.standings[name].stage is Stage.QUARANTINED
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run; `run` may be called once."""

    loaded: Loaded
    options: RunOptions
    tools: Tools
    stop: threading.Event  #: set to stop after what is under way was written down
    say: Callable[[str], None]  #: told what happens before machines are touched
    started: Callable[[Builder], None]  #: given the builder when it runs

    def run(self, events: Sequence[BuildEvent], log: EventLog) -> Outcome:
        """Build what the file asks for, and go on where an earlier run ended.

        Args:
            events: what was kept so far.
            log: where events are kept.

        Raises:
            Invalid: this machine is not ready to build.
            StepFailed: a boot service ended.
        """
        fleet, options = self.loaded.fleet, self.options
        standings = fold_events(events)
        machines = resolve_machines(fleet, standings)
        plan = make_plan(fleet, machines, standings, rebuild=options.rebuild, only=options.only)
        queue = _order(plan, machines)
        if not queue:
            self.say("nothing is to be done")
            return Outcome(standings, (), "", stopped=False)
        place = Place(fleet.builder, options.state.resolve(), options.images.resolve())
        self._prepare(place, queue, machines)
        power = self.tools.open_power(options.secrets)
        with ThreadPoolExecutor(POWER_THREADS) as pool:
            builder = Builder(
                queue,
                events,
                log=log,
                power=power,
                pool=pool,
                limits=fleet.limits,
                key=_read_key(options.state / "key"),
                specs={one.name: digest(one) for one in machines},
                anew=frozenset(one.node for one in plan.nodes if one.verb is Verb.REBUILD),
            )
            answers = Answers(builder, place, fleet.authorized_keys)
            return self._serve(builder, answers, place, queue)

    def _prepare(
        self, place: Place, queue: tuple[Machine, ...], machines: tuple[Machine, ...]
    ) -> None:
        options, fleet = self.options, self.loaded.fleet
        folder = options.ramdisk or options.state / "ramdisk"
        sums = options.state / "sums.json"
        faults = self.tools.find_faults(fleet.builder, queue, place.images, folder, sums)
        if faults:
            listed = "\n".join(faults)
            raise errors.Invalid(f"this machine is not ready to build:\n{listed}", faults=faults)
        self.tools.put_files(place.tftp, place.boot, folder)
        for path, text in (
            (place.boot / START, ipxe.render_start(place)),
            (place.dnsmasq_conf, services.render_dnsmasq(place, fleet.sites, machines)),
            (place.dnsmasq_hosts, services.render_reservations(machines)),
            (place.nginx_conf, services.render_nginx(place, user=self.tools.worker_user())),
        ):
            path.write_text(text)
            path.chmod(0o644)

    def _serve(
        self, builder: Builder, answers: Answers, place: Place, queue: tuple[Machine, ...]
    ) -> Outcome:
        def answer(method: str, path: str, query: str, body: str, source: str) -> tuple[int, str]:
            reply = answers.answer(method, path, query, body, source)
            return reply.status, reply.text

        daemons = self.tools.open_services(place.state)

        def check() -> None:
            trouble = daemons.find_trouble()
            if trouble:
                raise errors.StepFailed(f"{trouble}; run isthmus build run again to go on")

        socket = self.tools.open_answers(place.socket, answer)
        try:
            daemons.start(
                "nginx", ["nginx", "-c", place.nginx_conf, "-p", place.state], [place.nginx_conf]
            )
            daemons.start(
                "dnsmasq",
                ["dnsmasq", "-k", f"--conf-file={place.dnsmasq_conf}"],
                [place.dnsmasq_conf, place.dnsmasq_hosts],
            )
            self.started(builder)
            found = builder.run(self.stop, check)
        finally:
            # In this order: a machine repeats its report until it is answered, and nobody is left
            # to answer the last one of a build once this has ended.
            try:
                socket.close()
            finally:
                daemons.stop()
        chosen = tuple(one.name for one in queue)
        return Outcome(builder.standings, chosen, found.halted, stopped=self.stop.is_set())


def _order(plan: BuildPlan, machines: tuple[Machine, ...]) -> tuple[Machine, ...]:
    by_name = {one.name: one for one in machines}
    return tuple(by_name[name] for wave in plan.waves for name in wave.nodes)


def _read_key(path: Path) -> bytes:
    """Return the key of this build's tokens; it is made once."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as sink:
            sink.write(secrets.token_bytes(32))
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(path)
        return path.read_bytes()
