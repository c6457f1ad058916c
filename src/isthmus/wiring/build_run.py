"""Joins the run of a build with this machine: its log, boot services and power controllers."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path

from isthmus import errors
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.build.run.builder import Builder
from isthmus.build.run.protocols import Tools
from isthmus.build.run.session import Outcome, RunOptions, Session
from isthmus.build.run.watch import Watcher, choose_released, release
from isthmus.clients.build import preflight
from isthmus.clients.build.power import PowerControl, read_secrets
from isthmus.clients.build.processes import BootProcesses, worker_user
from isthmus.clients.build.service import NodeService
from isthmus.store.build_log import BuildLog, BuildLogReader
from isthmus.wiring.build import load_fleet, read_standings

TOOLS = Tools(
    find_faults=preflight.find_faults,
    put_files=preflight.put_files,
    worker_user=worker_user,
    open_services=BootProcesses,
    open_answers=NodeService,
    open_power=lambda secrets: PowerControl(read_secrets(secrets)),
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
    session = Session(
        loaded=load_fleet(path), options=options, tools=TOOLS, stop=stop, say=say, started=started
    )
    with BuildLog(options.state) as log:
        return session.run(tuple(log.read_all()), log)


def release_machines(state: Path, names: Collection[str], *, at: float) -> tuple[str, ...]:
    """Release quarantined machines for the next run; all of them if none is named.

    Raises:
        NotFound: a name is none of a quarantined machine.
        Busy: a builder runs; stop it first.
    """
    chosen = choose_released(read_standings(state), names)
    with BuildLog(state) as log:
        release(log, chosen, at=at)
    return chosen


def open_watcher(state: Path, fleet: Path | None = None) -> Watcher:
    """Follow the build of a state folder.

    Raises:
        NotFound: there is no such folder.
    """
    if not state.is_dir():
        raise errors.NotFound(f"there is no build in {state}; isthmus build run makes it")
    machines = resolve_machines(load_fleet(fleet).fleet, {}) if fleet else ()
    return Watcher(BuildLogReader(state), tuple(one.name for one in machines))
