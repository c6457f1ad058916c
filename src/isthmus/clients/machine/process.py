"""Long-running processes: start one, see whether it lives, signal it, and never hit another one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.model.host.process import ProcessId

#: Fields of /proc/PID/stat behind the command's closing parenthesis (proc(5)).
_STATE, _PARENT, _STARTED = 0, 1, 19
_PROC = Path("/proc")


def spawn(
    argv: Sequence[str | Path],
    *,
    netns: str | None,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> ProcessId:
    """Start a process that outlives this one, with its output in a file.

    Args:
        argv: the program and its arguments.
        netns: name of the network namespace; None for the one of this process.
        log: file to which its output is appended.
        env: variables beside the clean environment.

    Raises:
        Unsupported: there is no such program.
        StepFailed: it ended at once.
    """
    with log.open("ab") as sink:
        try:
            child = subprocess.Popen(
                shell.inside(netns, argv),
                env=shell.clean_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        except FileNotFoundError as exc:
            raise errors.Unsupported(f"{argv[0]} is not installed") from exc
    # Our parent reaps it eventually; meanwhile `find` treats a zombie as gone.
    child.returncode = 0
    found = find(child.pid)
    if found is None:
        raise errors.StepFailed(f"{argv[0]} ended at once; see {log}")
    return found


def find(pid: int) -> ProcessId | None:
    """Return a process with its start time; None if it is gone or a zombie."""
    fields = _read_stat(pid)
    if not fields or fields[_STATE] in {"Z", "X"}:
        return None
    return ProcessId(pid, int(fields[_STARTED]))


def _read_stat(pid: int) -> list[str]:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return stat.rpartition(")")[2].split()


def is_alive(process: ProcessId) -> bool:
    """Tell whether this very process lives."""
    return find(process.pid) == process


def is_stopped(process: ProcessId) -> bool:
    """Tell whether this very process lives and is held by a signal, so that it does nothing."""
    return is_alive(process) and _read_stat(process.pid)[_STATE : _STATE + 1] in (["T"], ["t"])


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Signal this very process; False when it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        # The handle holds the pid: what `find` sees now is what the signal reaches.
        if find(process.pid) != process:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def list_children(process: ProcessId) -> list[ProcessId]:
    """List the processes that this very process has started; none where it is gone."""
    pids = [int(one.name) for one in _PROC.iterdir() if one.name.isdigit()]
    found = [(pid, _read_stat(pid)) for pid in pids]
    children = [find(pid) for pid, stat in found if stat and int(stat[_PARENT]) == process.pid]
    return [one for one in children if one is not None] if is_alive(process) else []


def find_marked(name: str, value: str) -> Iterator[ProcessId]:
    """Find processes that carry an environment variable with this very value."""
    wanted = f"{name}={value}".encode()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found = find(int(entry.name))
                if found is not None:
                    yield found


def memory_kib(process: ProcessId) -> int:
    """Return a process's share of memory (PSS: shared pages counted by their share); 0 if gone."""
    with contextlib.suppress(OSError):
        for line in (_PROC / str(process.pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


class Zygote:
    """Isthmus's own forking process; see `isthmus.lab.process.zygote` for what it does."""

    def __init__(self, preload: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        """Start it; it imports while we do other things."""
        words = [word for name in preload for word in ("--preload", name)]
        self._log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "isthmus.lab.process.zygote", *words],
                env=shell.clean_environment(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                start_new_session=True,
            )

    def give_birth(self, line: str) -> ProcessId:
        """Fork a service.

        Args:
            line: what to fork, in the form the zygote reads.

        Raises:
            StepFailed: the zygote is dead, or the service died at once.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            pid = int(json.loads(answer)["pid"])
        except (OSError, ValueError, KeyError) as exc:
            said = self._log.read_text(errors="replace").strip().splitlines()[-5:]
            raise errors.StepFailed(
                f"the process that forks services is dead: {' | '.join(said)}"
            ) from exc
        found = find(pid)
        if found is None:
            raise errors.StepFailed(f"pid {pid} exited immediately; see its log")
        return found

    def close(self) -> None:
        """End the zygote; its children go on."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()
