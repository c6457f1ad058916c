"""Ansible, through ansible-runner: playbooks run, and what each host says, as it says it."""

import contextlib
import fcntl
import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.clients.machine import process
from isthmus.model.host.process import ProcessId

#: Events of ansible-runner that tell how a task ended on a host.
_ENDS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}
#: What Ansible counts of a host at the end.
_COUNTS = ("ok", "changed", "failures", "dark", "skipped", "rescued", "ignored")
_KEY_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
#: What the module of commands says, whatever the command said.
_SAYS_NOTHING = ("", "non-zero return code")
_MOST_LINES, _MOST_CHARACTERS = 6, 400
#: In the environment of all that Ansible starts: the folder of the build.
_MARK = "ISTHMUS_BUILD"
#: How long a process may take to end before it is killed, in seconds.
_END_S, _POLL_S = 5, 0.05


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended on a host."""

    host: str
    task: str
    outcome: str  #: ok, changed, failed, unreachable, skipped
    seconds: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Played:
    """How a playbook ended."""

    ok: bool
    stopped: bool
    hosts: Mapping[str, Mapping[str, int]]  #: host -> ok, changed, failures, dark ...


#: Ansible takes no other encoding, and a root's shell often has none.
UTF8 = {"LC_ALL": "C.UTF-8"}


def own_path() -> str:
    """Return a path on which the Ansible beside this Python comes first.

    The collection's filters are loaded by Ansible's Python, and need this package there.
    """
    return f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"


@contextlib.contextmanager
def alone(state: Path, folder: str) -> Iterator[None]:
    """Keep others from running Ansible over a build meanwhile.

    Args:
        state: of the build.
        folder: for Ansible, within it.

    Raises:
        NotFound: there is no such build.
        Busy: somebody does.
    """
    if not state.is_dir():
        raise errors.NotFound(f"there is no build in {state}: isthmus build run first")
    own = state / folder
    own.mkdir(mode=0o700, exist_ok=True)
    with (own / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise errors.Busy(f"another one runs Ansible in {own}") from exc
        # A builder that was killed could not do it.
        end_left(own.resolve())
        yield


def end_left(folder: Path) -> None:
    """End what a run of Ansible left that was stopped: each task has a process that goes on.

    Args:
        folder: of the build, for Ansible; others' is not touched.
    """

    def find() -> list[ProcessId]:
        marked = process.find_marked(_MARK, str(folder))
        return [one for one in marked if _is_playbook(one)]

    for number in (signal.SIGTERM, signal.SIGKILL):
        left = find()
        for one in left:
            process.send(one, number)
        deadline = time.monotonic() + _END_S
        while any(map(process.is_alive, left)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _is_playbook(one: ProcessId) -> bool:
    # The connections that SSH keeps are marked, too, and stay for the next run.
    try:
        return b"ansible-playbook" in Path(f"/proc/{one.pid}/cmdline").read_bytes()
    except OSError:
        return False


def run_playbook(
    playbook: Path,
    folder: Path,
    *,
    settings: Path,
    say: Callable[[TaskEnd], None],
    stop: threading.Event,
    variables: Mapping[str, Any] | None = None,
) -> Played:
    """Run a playbook to its end.

    Args:
        playbook: the file.
        folder: ansible-runner's private folder; its inventory folder is there already.
        settings: ansible.cfg.
        say: told how each task ended on each host.
        stop: set to stop it.
        variables: extra variables.

    Raises:
        Unsupported: ansible-runner is not installed, or the machine has no pseudo-terminals.
        NotFound: there is no such playbook.
    """
    try:
        import ansible_runner
    except ImportError as exc:
        raise errors.Unsupported(
            "ansible-runner is not installed: pip install 'isthmus[build]'"
        ) from exc
    if not playbook.is_file():
        raise errors.NotFound(f"there is no playbook {playbook}")
    _require_pty()
    recap: dict[str, dict[str, int]] = {}

    def handle(event: Mapping[str, Any]) -> bool:
        data = event.get("event_data") or {}
        kind = str(event.get("event"))
        if kind in _ENDS:
            say(_task_end(kind, data))
        elif kind == "playbook_on_stats":
            recap.update(_recap(data))
        return False

    result = ansible_runner.run(
        private_data_dir=str(folder),
        playbook=str(playbook.resolve()),
        quiet=True,
        event_handler=handle,
        cancel_callback=stop.is_set,
        envvars={
            "ANSIBLE_CONFIG": str(settings),
            "PATH": own_path(),
            _MARK: str(folder.resolve()),
            **UTF8,
        },
        extravars=dict(variables or {}),
        # What stands in the folder's env is the operator's; what we say counts for this run alone.
        suppress_env_files=True,
    )
    stopped = result.status == "canceled"
    if stopped:
        end_left(folder.resolve())
    return Played(result.status == "successful", stopped, recap)


def _require_pty() -> None:
    """Make sure that Ansible can be run: ansible-runner gives it a terminal of its own.

    Raises:
        Unsupported: the machine has none, as a container may.
    """
    try:
        ours, theirs = pty.openpty()
    except OSError as exc:
        raise errors.Unsupported(
            "this machine has no pseudo-terminals, which Ansible needs: mount -t devpts -o"
            " gid=5,mode=620,ptmxmode=666 devpts /dev/pts"
        ) from exc
    os.close(ours)
    os.close(theirs)


def _task_end(kind: str, data: Mapping[str, Any]) -> TaskEnd:
    answer = data.get("res") or {}
    outcome = _ENDS[kind]
    if outcome == "ok" and answer.get("changed"):
        outcome = "changed"
    if outcome == "failed" and data.get("ignore_errors"):
        outcome = "ok"
    return TaskEnd(
        host=str(data.get("host")),
        task=str(data.get("task")),
        outcome=outcome,
        seconds=float(data.get("duration") or 0.0),
        # What a module did well it need not tell; its answer may hold secrets.
        message=explain(answer) if outcome in {"failed", "unreachable"} else "",
    )


def explain(answer: Mapping[str, Any]) -> str:
    """Say in a line why a task failed, out of what Ansible tells of it."""
    rows = [one for one in answer.get("results") or () if isinstance(one, Mapping)]
    answer = next((one for one in rows if one.get("failed") or one.get("unreachable")), answer)
    if "censored" in answer:
        return "why is hidden, since passwords may be in it: see the log of the service on the host"
    said = str(answer.get("msg") or "")
    if _KEY_CHANGED in said:
        return (
            "its SSH host key is not the one of the first connection; if it was installed anew,"
            " take its line out of known_hosts in Ansible's folder (ssh-keygen -R ADDRESS -f FILE)"
        )
    if said in _SAYS_NOTHING:
        said = str(answer.get("stderr") or answer.get("stdout") or said)
    # Programs warn first, and say at the end why they gave up.
    lines = [one.strip() for one in said.splitlines() if one.strip()]
    text = " ".join(lines[-_MOST_LINES:])
    return text if len(text) <= _MOST_CHARACTERS else f"...{text[-_MOST_CHARACTERS:]}"


def _recap(data: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for kind in _COUNTS:
        for host, count in (data.get(kind) or {}).items():
            # What did not happen is 0 and no gap: `0 changed` is to be read off.
            found.setdefault(str(host), dict.fromkeys(_COUNTS, 0))[kind] = int(count)
    return found
