"""dnsmasq and nginx of one build: started, found again after a crash of the builder, ended."""

import contextlib
import grp
import hashlib
import json
import os
import pwd
import signal
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import process, shell
from isthmus.model.host.process import ProcessId

_LEDGER = "processes.json"
_STOP_TIMEOUT_S = 10.0
#: nginx drops what it is answering on SIGTERM, and finishes it on SIGQUIT. Images take longer than
#: this; a machine that reads one begins anew.
_FINISH_TIMEOUT_S = 3.0
_FINISHES = {"nginx": signal.SIGQUIT}
#: A service that cannot do its work says so and ends within this.
_START_S = 0.5


def worker_user() -> str:
    """Return nginx's `user` line: nobody and his group on this system; empty: our own."""
    if os.geteuid() != 0:
        return ""
    nobody = pwd.getpwnam("nobody")
    return f"nobody {grp.getgrgid(nobody.pw_gid).gr_name}"


def find_closed(path: Path) -> Path | None:
    """Return the first folder on the way to a path, and it included, that others cannot enter."""
    path = path.resolve()
    folders = (path, *path.parents) if path.is_dir() else path.parents
    return next((one for one in folders if not one.stat().st_mode & stat.S_IXOTH), None)


class BootProcesses:
    """The services of one state folder."""

    def __init__(self, state: Path) -> None:
        """Find what a builder that was killed left running."""
        self._state = state
        self._ledger = state / _LEDGER
        self._running: dict[str, ProcessId] = {}
        self._signatures: dict[str, str] = {}
        self._left = self._read()

    def _read(self) -> dict[str, tuple[ProcessId, str]]:
        try:
            rows = json.loads(self._ledger.read_text())
            return {
                name: (ProcessId(int(pid), int(began)), str(signature))
                for name, (pid, began, signature) in rows.items()
            }
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}

    def _adopt(self, name: str, signature: str) -> bool:
        """Keep a service that runs with this very configuration: machines may be reading from it.

        One that runs with another is ended.
        """
        if name not in self._left:
            return False
        found, before = self._left.pop(name)
        if before == signature and process.is_alive(found):
            self._running[name] = found
            return True
        self._end(found)
        return False

    def _write(self) -> None:
        rows = {
            name: [one.pid, one.started, self._signatures[name]]
            for name, one in self._running.items()
        }
        part = self._ledger.with_suffix(".part")
        part.write_text(json.dumps(rows))
        part.replace(self._ledger)

    def start(self, name: str, argv: Sequence[str | Path], files: Sequence[Path]) -> None:
        """Start a service, or keep the one that runs with the same files.

        Args:
            name: what it is called here.
            argv: its command.
            files: its configuration.

        Raises:
            Unsupported: it is not installed.
            StepFailed: it ended at once; the message has what it said.
        """
        digest = hashlib.sha256(repr(argv).encode())
        for path in files:
            digest.update(path.read_bytes())
        self._signatures[name] = digest.hexdigest()
        if self._adopt(name, self._signatures[name]):
            return
        program = shell.find_program(str(argv[0]))
        if program is None:
            raise errors.Unsupported(
                f"{argv[0]} is not installed; on Debian: apt install dnsmasq-base nginx-light ipxe"
            )
        log = self._state / f"{name}.out"
        log.unlink(missing_ok=True)
        found = process.spawn([program, *argv[1:]], netns=None, log=log)
        self._running[name] = found
        self._write()
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if not process.is_alive(found):
                said = self._tail(name)
                raise errors.StepFailed(f"{name} ended at once: {said}")
            time.sleep(0.05)

    def _tail(self, name: str) -> str:
        for path in (self._state / f"{name}.out", self._state / f"{name}.log"):
            with contextlib.suppress(OSError):
                lines = path.read_text(errors="replace").strip().splitlines()
                if lines:
                    return lines[-1]
        return "it said nothing"

    def find_trouble(self) -> str:
        """Return which service ended, with the last it said, or what one cannot reach.

        Machines ask for ever where nginx's workers are locked out of the state folder: they see a
        gateway that fails, and the builder sees nothing. Empty where there is no trouble.
        """
        for name, one in self._running.items():
            if not process.is_alive(one):
                return f"{name} ended: {self._tail(name)}"
        closed = find_closed(self._state) if worker_user() else None
        if closed is not None:
            return f"nginx's workers cannot enter {closed}: open it (chmod o+x {closed})"
        return ""

    def stop(self) -> None:
        """End all services, and what a killed builder left of them."""
        for one, _ in self._left.values():
            self._end(one)
        self._left = {}
        for name, one in list(self._running.items()):
            self._end(one, _FINISHES.get(name))
            del self._running[name]
        self._ledger.unlink(missing_ok=True)

    @staticmethod
    def _end(one: ProcessId, finish: signal.Signals | None = None) -> None:
        """End a process, first by the signal at which it finishes what it does, if there is one."""
        if finish is not None and _dies(one, finish, _FINISH_TIMEOUT_S):
            return
        sign = signal.SIGTERM
        while not _dies(one, sign, _STOP_TIMEOUT_S):
            sign = signal.SIGKILL


def _dies(one: ProcessId, sign: signal.Signals, within_s: float) -> bool:
    """Send a process a signal; return whether it ends in some seconds."""
    process.send(one, sign)
    deadline = time.monotonic() + within_s
    while process.is_alive(one):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
