"""One run of a build, from its files to its boot services: what `isthmus build run` calls."""

import os
import secrets
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors
from isthmus.build.boot import ipxe, services
from isthmus.build.boot.place import START, Place
from isthmus.build.plan.plan import make_plan
from isthmus.build.plan.spec import digest
from isthmus.build.run.answers import Answers
from isthmus.build.run.board import Board, make_board
from isthmus.build.run.builder import Builder
from isthmus.build.run.standing import apply_event, fold_events
from isthmus.clients.build import preflight
from isthmus.clients.build.power import PowerControl, read_secrets
from isthmus.clients.build.processes import BootProcesses, worker_user
from isthmus.clients.build.service import NodeService
from isthmus.model.rack.build import BuildEvent, BuildPlan, Happening, Stage, Standing, Verb
from isthmus.model.rack.machine import Machine
from isthmus.store.build_log import BuildLog, BuildLogReader
from isthmus.wiring.build import Loaded, load_fleet, read_standings, resolve_machines

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
        """Name the machines that were given up."""
        return tuple(
            name
            for name in self.chosen
            if name in self.standings and self.standings[name].stage is Stage.QUARANTINED
        )


def run_build(
    path: Path,
    options: RunOptions,
    *,
    stop: threading.Event,
    say: Callable[[str], None],
    started: Callable[[Builder], None] = lambda _: None,
) -> Outcome:
    """Build what a fleet file asks for, and go on where an earlier run ended.

    Args:
        path: the fleet file.
        options: folders and names.
        stop: set to stop after what is under way was written down.
        say: told what happens before machines are touched.
        started: given the builder when it runs.

    Raises:
        Invalid: the file has faults, or the builder's machine is not ready for it.
        Busy: another builder holds the state folder.
        StepFailed: a boot service ended.
    """
    loaded = load_fleet(path)
    with BuildLog(options.state) as log:
        events = tuple(log.read_all())
        standings = fold_events(events)
        machines = resolve_machines(loaded.fleet, standings)
        plan = make_plan(
            loaded.fleet, machines, standings, rebuild=options.rebuild, only=options.only
        )
        queue = _order(plan, machines)
        if not queue:
            say("nothing is to be done")
            return Outcome(standings, (), "", stopped=False)
        place = Place(loaded.fleet.builder, options.state.resolve(), options.images.resolve())
        _prepare(loaded, place, options, queue, machines)
        power = PowerControl(read_secrets(options.secrets))
        with ThreadPoolExecutor(POWER_THREADS) as pool:
            builder = Builder(
                queue,
                events,
                log=log,
                power=power,
                pool=pool,
                limits=loaded.fleet.limits,
                key=_read_key(options.state / "key"),
                specs={one.name: digest(one) for one in machines},
                anew=frozenset(one.node for one in plan.nodes if one.verb is Verb.REBUILD),
            )
            answers = Answers(builder, place, loaded.fleet.authorized_keys)
            return _serve(builder, answers, place, queue, stop, started)


def _order(plan: BuildPlan, machines: tuple[Machine, ...]) -> tuple[Machine, ...]:
    by_name = {one.name: one for one in machines}
    return tuple(by_name[name] for wave in plan.waves for name in wave.nodes)


def _prepare(
    loaded: Loaded,
    place: Place,
    options: RunOptions,
    queue: tuple[Machine, ...],
    machines: tuple[Machine, ...],
) -> None:
    folder = options.ramdisk or options.state / "ramdisk"
    faults = preflight.find_faults(
        loaded.fleet.builder, queue, place.images, folder, options.state / "sums.json"
    )
    if faults:
        listed = "\n".join(faults)
        raise errors.Invalid(f"this machine is not ready to build:\n{listed}", faults=faults)
    preflight.put_files(place.tftp, place.boot, folder)
    sites = loaded.fleet.sites
    for path, text in (
        (place.boot / START, ipxe.render_start(place)),
        (place.dnsmasq_conf, services.render_dnsmasq(place, sites, machines)),
        (place.dnsmasq_hosts, services.render_reservations(machines)),
        (place.nginx_conf, services.render_nginx(place, user=worker_user())),
    ):
        path.write_text(text)
        path.chmod(0o644)


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


def _serve(
    builder: Builder,
    answers: Answers,
    place: Place,
    queue: tuple[Machine, ...],
    stop: threading.Event,
    started: Callable[[Builder], None],
) -> Outcome:
    def answer(method: str, path: str, query: str, body: str, source: str) -> tuple[int, str]:
        reply = answers.answer(method, path, query, body, source)
        return reply.status, reply.text

    processes = BootProcesses(place.state)

    def check() -> None:
        dead = processes.find_dead()
        if dead:
            raise errors.StepFailed(f"{dead}; run isthmus build run again to go on")

    service = NodeService(place.socket, answer)
    try:
        processes.start(
            "nginx", ["nginx", "-c", place.nginx_conf, "-p", place.state], [place.nginx_conf]
        )
        processes.start(
            "dnsmasq",
            ["dnsmasq", "-k", f"--conf-file={place.dnsmasq_conf}"],
            [place.dnsmasq_conf, place.dnsmasq_hosts],
        )
        started(builder)
        found = builder.run(stop, check)
    finally:
        processes.stop()
        service.close()
    return Outcome(
        builder.standings, tuple(one.name for one in queue), found.halted, stopped=stop.is_set()
    )


def release_machines(state: Path, names: Collection[str], *, at: float) -> tuple[str, ...]:
    """Let quarantined machines be tried again; all of them where none is named.

    Raises:
        NotFound: a name is none of a quarantined machine.
        Busy: a builder runs; stop it first.
    """
    standings = read_standings(state)
    lost = [name for name, one in standings.items() if one.stage is Stage.QUARANTINED]
    wrong = [name for name in names if name not in lost]
    if wrong:
        raise errors.NotFound(
            f"not quarantined: {', '.join(wrong)}; quarantined are {', '.join(lost) or 'none'}"
        )
    with BuildLog(state) as log:
        for name in names or lost:
            log.append(BuildEvent(at=at, kind=Happening.RELEASED, node=name))
    return tuple(names or lost)


class Watcher:
    """Follows a build, whoever runs it."""

    def __init__(self, state: Path, fleet: Path | None = None) -> None:
        """Follow the build of a state folder.

        Raises:
            NotFound: there is no such folder.
        """
        if not state.is_dir():
            raise errors.NotFound(f"there is no build in {state}; isthmus build run makes it")
        self._reader = BuildLogReader(state)
        self._events: list[BuildEvent] = []
        self._standings: dict[str, Standing] = {}
        self._names: tuple[str, ...] = ()
        if fleet is not None:
            loaded = load_fleet(fleet).fleet
            self._names = tuple(one.name for one in resolve_machines(loaded, {}))

    def poll(self, now: float) -> tuple[Board, list[BuildEvent]]:
        """Return how it stands, and what happened since the last look."""
        new = self._reader.read_new()
        for event in new:
            apply_event(self._standings, event)
        self._events += new
        return make_board(self._events, self._standings, now, fleet=self._names), new

    @property
    def standings(self) -> dict[str, Standing]:
        """Return where every machine stands."""
        return dict(self._standings)
