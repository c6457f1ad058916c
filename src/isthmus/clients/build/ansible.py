"""Ansible, through ansible-runner: playbooks run, and what each host says, as it says it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import errors

#: Events of ansible-runner that tell how a task ended on a host.
_ENDS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}


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
        Unsupported: ansible-runner is not installed.
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
        envvars={"ANSIBLE_CONFIG": str(settings)},
        extravars=dict(variables or {}),
    )
    return Played(result.status == "successful", result.status == "canceled", recap)


def _task_end(kind: str, data: Mapping[str, Any]) -> TaskEnd:
    answer = data.get("res") or {}
    outcome = _ENDS[kind]
    if outcome == "ok" and answer.get("changed"):
        outcome = "changed"
    if outcome == "failed" and data.get("ignore_errors"):
        outcome = "ok"
    said = answer.get("msg") or answer.get("stderr") or ""
    return TaskEnd(
        host=str(data.get("host")),
        task=str(data.get("task")),
        outcome=outcome,
        seconds=float(data.get("duration") or 0.0),
        # What a module did well it need not tell; its answer may hold secrets.
        message=str(said)[:400] if outcome in {"failed", "unreachable"} else "",
    )


def _recap(data: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for kind in ("ok", "changed", "failures", "dark", "skipped", "rescued", "ignored"):
        for host, count in (data.get(kind) or {}).items():
            found.setdefault(str(host), {})[kind] = int(count)
    return found
