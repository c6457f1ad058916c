"""The live board of a build, and how a run shows itself."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from isthmus import errors
from isthmus.build.run.session import Outcome, RunOptions
from isthmus.build.run.watch import Watcher
from isthmus.cli import render
from isthmus.cli.render import Format
from isthmus.facts.document import to_document
from isthmus.model.form import counted, format_age
from isthmus.wiring.build_run import open_watcher, run_build

_LOOK_S = 0.5
#: Rows of trouble that a terminal shows; the rest is counted.
_MOST_TROUBLES = 15
_COLOURS = {
    "active": "green",
    "failed": "yellow",
    "quarantined": "red",
    "waiting": "dim",
}
#: Exit code where machines were given up.
GIVEN_UP = 1


def draw(board: Any) -> Group:
    """Draw a board."""
    counts = Text()
    for stage, count in board.stages.items():
        counts.append(f"{count} {stage}  ", style=_COLOURS.get(stage, "cyan"))
    pace = f"{board.active_per_min:g} a minute"
    if board.left_s:
        pace += f", {format_age(board.left_s)} left at this rate"
    parts: list[Any] = [
        Text(f"{counted(board.total, 'machine')}: ") + counts,
        Text(pace, style="dim"),
    ]
    if board.timings:
        times = Table("stage", "machines", "median", "95 %", "longest", box=None, pad_edge=False)
        for one in board.timings:
            row = (one.median_s, one.p95_s, one.longest_s)
            times.add_row(one.stage.value, str(one.count), *(f"{value:g} s" for value in row))
        parts.append(times)
    if board.troubles:
        table = Table("node", "stage", "attempt", "for", "why", "next", box=None, pad_edge=False)
        for trouble in board.troubles[:_MOST_TROUBLES]:
            cells = (trouble.node, trouble.stage.value, str(trouble.attempt),
                     format_age(trouble.for_s), trouble.why, trouble.next)  # fmt: skip
            table.add_row(*(Text(cell) for cell in cells))
        parts.append(table)
        more = len(board.troubles) - _MOST_TROUBLES
        if more > 0:
            parts.append(Text(f"and {more} more: isthmus build status -o json"))
    parts += [Text(one, style="yellow") for one in board.unknown[-3:]]
    parts.append(Text(board.last, style="dim"))
    return Group(*parts)


def show_status(state: Path, fleet: Path | None, output: Format) -> None:
    """Print how a build stands."""
    watcher = open_watcher(state, fleet)
    board, _ = watcher.poll(time.time())
    if output is Format.TABLE:
        render.open_console().print(draw(board))
        return
    document = to_document(board)
    document["nodes"] = [to_document(one) for one in watcher.standings.values()]
    render.print_row(document, output)


class _Screen:
    """A live board on a terminal; one line an event where nobody looks."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        console = render.open_console(stderr=True)
        self._live = Live(console=console, transient=False) if console.is_terminal else None

    def __enter__(self) -> "_Screen":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refresh()
        if self._live:
            self._live.stop()

    def refresh(self) -> Any:
        """Poll once and show what is new."""
        board, new = self._watcher.poll(time.time())
        if self._live:
            self._live.update(draw(board))
        else:
            for event in new:
                what = " ".join(filter(None, (event.node, event.kind.value, event.detail)))
                stamp = time.strftime("%H:%M:%S", time.localtime(event.at))
                sys.stderr.write(f"{stamp} {what}\n")
            sys.stderr.flush()
        return board


def follow(state: Path, fleet: Path | None) -> None:
    """Show a build until it ends."""
    with _Screen(open_watcher(state, fleet)) as screen:
        while screen.refresh().is_running:
            time.sleep(_LOOK_S)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a stop; a second one ends the command at once."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        sys.stderr.write("stopping; what is under way goes on by itself (again: at once)\n")
        del number

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


def run_and_show(fleet: Path, options: RunOptions) -> int:
    """Run a build with its board, and give the exit code."""
    over = threading.Event()
    with _stopping() as stop:
        screen: list[threading.Thread] = []

        def show(_builder: object) -> None:
            def loop() -> None:
                with _Screen(open_watcher(options.state, fleet)) as board:
                    while not over.wait(_LOOK_S):
                        board.refresh()

            screen.append(threading.Thread(target=loop, daemon=True))
            screen[0].start()

        try:
            outcome = run_build(fleet, options, stop=stop, say=render.note, started=show)
        finally:
            over.set()
            for thread in screen:
                thread.join(timeout=10)
    return _conclude(outcome)


def play_and_show(
    fleet: Path, playbook: Path | None, state: Path, *, forks: int | None, strategy: str
) -> int:
    """Write Ansible's files and run a playbook, one line a change or failure.

    Args:
        fleet: the fleet file.
        playbook: what to run; None: files are written only.
        state: the build's state folder.
        forks: hosts at a time; None: by hosts and cores.
        strategy: how hosts go through a play.

    Returns:
        The exit code.
    """
    from isthmus.wiring import build_configure as wiring

    with wiring.alone(state):
        folder, count = wiring.write_ansible(fleet, state, forks=forks, strategy=strategy)
        render.note(f"{counted(count, 'host')} in {folder}/inventory/hosts.yaml")
        return 0 if playbook is None else _play(folder, playbook)


def make_sites(fleet: Path, state: Path, wheel: Path, *, forks: int | None, strategy: str) -> int:
    """Make sites of the machines that are active, join them, and have canaries there.

    Args:
        fleet: the fleet file.
        state: the build's state folder.
        wheel: the package of Isthmus.
        forks: hosts at a time; None: by hosts and cores.
        strategy: how hosts go through a play.

    Returns:
        The exit code.
    """
    from isthmus.build.configure.package import find_playbook, package_variables
    from isthmus.wiring import build_configure as wiring

    packages = package_variables(wheel)
    with wiring.alone(state):
        if wiring.make_secrets(fleet, state):
            render.note("passwords were made, and encrypted by ansible-vault")
        folder, count = wiring.write_ansible(fleet, state, forks=forks, strategy=strategy)
        render.note(f"{counted(count, 'host')} in {folder}/inventory/hosts.yaml")
        code = _play(folder, find_playbook("site"), packages)
        return code or _play(folder, find_playbook("canary"))


def _play(folder: Path, playbook: Path, variables: dict[str, str] | None = None) -> int:
    from isthmus.wiring import build_configure as wiring

    def say(end: Any) -> None:
        if end.outcome not in {"ok", "skipped"}:
            told = f"{end.host} {end.outcome}: {end.task} ({end.seconds:.1f} s) {end.message}"
            sys.stderr.write(told.strip() + "\n")

    with _stopping() as stop:
        played = wiring.configure(folder, playbook, say=say, stop=stop, variables=variables)
    if played.stopped:
        return errors.EXIT_INTERRUPTED
    rows = [{"host": host, **counts} for host, counts in sorted(played.hosts.items())]
    columns = ("host", "ok", "changed", "failures", "dark", "skipped")
    render.print_rows(rows, columns, Format.TABLE)
    return 0 if played.ok else GIVEN_UP


def _conclude(outcome: Outcome) -> int:
    if outcome.stopped:
        render.note("stopped; run it again to go on")
        return errors.EXIT_INTERRUPTED
    if outcome.halted:
        render.fail(outcome.halted)
        return GIVEN_UP
    for name in outcome.quarantined:
        one = outcome.standings[name]
        render.fail(f"{name} was given up after {one.attempt} attempts: {one.why}")
    if outcome.quarantined:
        render.note("mend them, isthmus build release them, and run again")
        return GIVEN_UP
    return 0
