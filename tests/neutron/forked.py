"""Neutron servers forked from a process that has imported Neutron once.

Importing is most of what a server does at its start, and the tests start some hundreds. Each
process of pytest has one parent of servers, which lives as long as the tests run. Run as a command
it is that parent: standard input takes `{"fork": Birth}` or `{"poll": pid}`, one JSON a line, and
standard output answers each. When its input ends it kills what it forked.
"""

import atexit
import contextlib
import ctypes
import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isthmus.lab.process import zygote
from isthmus.lab.process.zygote import Birth
from isthmus.lab.tier.services import PRELOAD

#: A central on MariaDB needs it; the lab has SQLite alone.
_MODULES = (*(name for name in PRELOAD if "keystone" not in name), "pymysql")


#: Source: linux/prctl.h.
_PR_SET_PDEATHSIG = 1


class Forked:
    """A server, with as much of `subprocess.Popen` as the tests use."""

    def __init__(self, parent: "Parent", birth: Birth) -> None:
        self._parent = parent
        self.pid: int = parent.ask(fork=asdict(birth))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (that of the signal, negative), or None while it runs."""
        if self.returncode is None:
            self.returncode = self._parent.ask(poll=self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Wait for the end.

        Raises:
            TimeoutExpired: it goes on longer than that, in seconds.
        """
        if self.returncode is not None:
            return self.returncode
        handle = os.pidfd_open(self.pid)  # readable once the process has ended
        try:
            ended, _, _ = select.select([handle], [], [], timeout)
        finally:
            os.close(handle)
        if not ended:
            raise subprocess.TimeoutExpired(f"the server with pid {self.pid}", timeout)
        code = self.poll()
        assert code is not None
        return code


class Parent:
    """The process that servers are forked from."""

    def __init__(self) -> None:
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.neutron.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, "the process that servers are forked from has ended"
        return json.loads(answer)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.communicate(timeout=20)


@functools.cache
def find_parent() -> Parent:
    """Return the one of this process."""
    return Parent()


def die_with_parent() -> None:
    """End this process with the one that has forked it, however that ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os.kill(os.getpid(), signal.SIGKILL)


def _poll(running: set[int], pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        return None
    running.discard(pid)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zygote.preload(_MODULES)
    running: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "fork" in question:
            answer: Any = zygote.give_birth(Birth.from_line(json.dumps(question["fork"])))
            running.add(answer)
        else:
            answer = _poll(running, question["poll"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
