"""`isthmus status --watch` as a person meets it, at a terminal and through a pipe."""

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.shell import ISTHMUS, Shell, ago, small_cloud

from isthmus.cli import watch
from isthmus.cli.render import Format
from isthmus.testing.cloud import Cloud
from isthmus.testing.until import until

WATCH = ("status", "--watch", "--interval", "0.5")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A site that answers."""
    with small_cloud() as cloud:
        shell = Shell(tmp_path, cloud)
        shell.run("site", "create", "site1")
        keep_seen(cloud)
        yield shell


def keep_seen(cloud: Cloud) -> None:
    """Have the sites be seen as long as somebody asks, as a running Xjob does."""
    answered = cloud.answer

    def answer(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        for row in cloud.rows["sites"]:
            row.update(reachability="reachable", last_seen_at=ago(seconds=1))
        return answered(method, target, body, caller)

    cloud.answer = answer  # type: ignore[method-assign]


class Running:
    """A command that goes on, and what it has written."""

    def __init__(self, process: "subprocess.Popen[bytes]", read: Callable[[], bytes]) -> None:
        self.process = process
        self._read = read
        self._parts: list[bytes] = []
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while part := self._read():
            self._parts.append(part)

    @property
    def text(self) -> str:
        return b"".join(self._parts).decode()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._thread.join(60)
        return code


@contextmanager
def started(
    shell: Shell,
    *arguments: str,
    terminal: bool = False,
    size: Mapping[str, str] = {"COLUMNS": "160", "LINES": "40"},
) -> Iterator[Running]:
    """Run a command; what it writes, to stderr as well, is read as it comes."""
    if terminal:
        ours, theirs = pty.openpty()
    else:
        ours, theirs = os.pipe()
    process = subprocess.Popen(
        [*ISTHMUS, *arguments],
        env={**shell.environment, "TERM": "xterm", **size},
        stdin=theirs if terminal else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)

    def read() -> bytes:
        try:
            return os.read(ours, 65536)
        except OSError:  # a terminal whose other end is closed
            return b""

    running = Running(process, read)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        running._thread.join(60)
        os.close(ours)


def test_a_terminal_is_drawn_over_and_given_back(shell: Shell) -> None:
    with started(shell, *WATCH, terminal=True) as running:
        until(lambda: "1 site, all reachable; 0 jobs" in running.text)
        shell.cloud.rows["sites"][0].update(parked=3)
        until(lambda: "site1 has 3 parked or refused." in running.text)
        shell.cloud.refusal = (503, "its database is away")
        until(lambda: "as it was " in running.text)
        shell.cloud.refusal = None
        shell.cloud.rows["sites"][0].update(parked=0, backlog=7)
        until(lambda: "0 jobs" in running.text and "7 jobs under way" in running.text)
        assert running.end() == 130
        assert "Traceback" not in running.text
        assert "\x1b[?25l" in running.text, "the cursor is hidden meanwhile"
        assert running.text.rindex("\x1b[?25h") > running.text.rindex("\x1b[?25l")
        assert "\x1b[1A" in running.text, "it goes up, and draws over what was there"


def test_a_small_terminal_shows_what_is_wrong_and_cuts_the_table(shell: Shell) -> None:
    for number in range(2, 7):
        shell.run("site", "create", f"site{number}")
    shell.cloud.rows["sites"][0].update(parked=3)
    small = {"COLUMNS": "80", "LINES": "24"}
    with started(shell, *WATCH, terminal=True, size=small) as running:
        until(lambda: "site1 has 3 parked or refused." in running.text)
        assert running.end() == 130


def test_a_pipe_gets_blocks(shell: Shell) -> None:
    with started(shell, *WATCH) as running:
        until(lambda: running.text.count("1 site, all reachable; 0 jobs under way.") > 1)
        shell.cloud.refusal = (503, "its database is away")
        until(lambda: "; looking again" in running.text)
        shell.cloud.refusal = None
        before = running.text.count("site1")
        until(lambda: running.text.count("site1") > before)
        assert running.end() == 130
    assert "\x1b" not in running.text
    assert "Traceback" not in running.text
    first = running.text.split("\n\n")[0].splitlines()
    assert first[0][:2] == "20"
    assert first[1].split()[:2] == ["name", "state"]


def test_documents_for_programs_follow_each_other(shell: Shell) -> None:
    with started(shell, *WATCH, "-o", "json") as running:
        until(lambda: running.text.count('"name": "site1"') > 1)
        assert running.end() == 130
    said = "".join(line for line in running.text.splitlines(True) if "under way." not in line)
    found, _ = json.JSONDecoder().raw_decode(said)
    assert found[0]["name"] == "site1"
    with started(shell, *WATCH, "-o", "yaml") as running:
        until(lambda: running.text.count("---\n") > 1)
        assert running.end() == 130


def test_what_is_refused_ends_it_and_an_interval_wants_a_watch(shell: Shell) -> None:
    shell.cloud.refusal = (403, "not yours")
    shell.run(*WATCH, code=2, says="not yours")
    shell.run("status", "--interval", "5", code=2, says="--interval is for --watch")
    shell.run("status", "-w", "--interval", "0.1", code=2, says="0.5")


def test_the_pause_is_the_interval() -> None:
    assert watch.check_interval(None, watched=True) == 2
    assert watch.check_interval(7, watched=True) == 7
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            raise KeyboardInterrupt

    def draw(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        watch.follow(
            lambda: 1,
            draw=draw,
            show=lambda _: None,
            output=Format.JSON,
            every_s=7,
            pause=pause,
        )
    assert paused == [7, 7, 7]
