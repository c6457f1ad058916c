"""The ledger: what a lab has made, written down before or as it is made.

One JSON object a line, only ever added to, so that a crash at any moment leaves a ledger that names
at least all that is there. A name is written before its namespace is made; a process right after it
was started, and besides it carries a marker in its environment.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.lab.process.program import Program
from isthmus.model.host.process import ProcessId

FILE = "ledger.jsonl"


@dataclass(frozen=True, slots=True)
class Running:
    """A program and the process that last ran it."""

    program: Program
    process: ProcessId


@dataclass(slots=True)
class Made:
    """All that a ledger lists and does not list as removed."""

    settings: dict[str, Any] = field(default_factory=dict)  #: how the lab was asked for
    netns: list[str] = field(default_factory=list)
    programs: dict[str, Running] = field(default_factory=dict)
    servers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    guests: dict[str, Mapping[str, Any]] = field(default_factory=dict)  #: Nova's servers, by id
    links: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    whole: bool = False  #: `lab up` came to its end

    def find_guest(self, name: str) -> Mapping[str, Any] | None:
        """Return Nova's server of a name or id; None where there is none, or more than one."""
        found = [row for row in self.guests.values() if name in {row["name"], row["uuid"]}]
        return found[0] if len(found) == 1 else None


class Ledger:
    """The ledger of one lab; several processes may add to it."""

    def __init__(self, folder: Path) -> None:
        """Bind it; nothing is read or written yet."""
        self._file = folder / FILE

    @property
    def exists(self) -> bool:
        """Tell whether there is one."""
        return self._file.exists()

    def add(self, kind: str, **values: Any) -> None:
        """Write one line."""
        line = json.dumps({"kind": kind, **values}) + "\n"
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def add_process(self, program: Program, process: ProcessId) -> None:
        """Write down a process that was started."""
        self.add("process", program=program.to_dict(), pid=process.pid, started=process.started)

    def read(self) -> Made:
        """Read it all.

        Raises:
            NotFound: there is no ledger.
            Inconsistent: a line is not what we write.
        """
        try:
            text = self._file.read_text()
        except FileNotFoundError as exc:
            name = self._file.parent.name
            raise errors.NotFound(
                f"lab {name!r} is not up; see: isthmus lab list, isthmus lab up"
            ) from exc
        made = Made()
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                _take(made, json.loads(line))
            except (ValueError, KeyError, TypeError) as exc:
                if number == text.count("\n") + 1:
                    break  # the last line of a process that was killed while it wrote
                raise errors.Inconsistent(f"{self._file}, line {number}: {exc}") from exc
        return made


def _take(made: Made, row: Mapping[str, Any]) -> None:
    kind = row["kind"]
    if kind == "settings":
        made.settings.update(row["values"])
    elif kind == "netns":
        made.netns.append(row["name"])
    elif kind == "whole":
        made.whole = True
    elif kind == "link":
        made.links[row["site"]] = row
    elif kind.startswith("process"):
        _take_process(made, row)
    elif kind.startswith("guest"):
        _take_guest(made, row)
    else:
        _take_server(made, row)


def _take_process(made: Made, row: Mapping[str, Any]) -> None:
    if row["kind"] == "process":
        program = Program.from_dict(row["program"])
        made.programs[program.name] = Running(program, ProcessId(row["pid"], row["started"]))
    elif row["kind"] == "process-gone":
        made.programs.pop(row["name"], None)
    else:
        raise _unknown(row)


def _take_guest(made: Made, row: Mapping[str, Any]) -> None:
    if row["kind"] == "guest":
        made.guests[row["uuid"]] = row
    elif row["kind"] == "guest-gone":
        made.guests.pop(row["uuid"], None)
    else:
        raise _unknown(row)


def _take_server(made: Made, row: Mapping[str, Any]) -> None:
    if row["kind"] == "server":
        made.servers[row["name"]] = row
    elif row["kind"] == "server-gone":
        made.servers.pop(row["name"], None)
        for name in [name for name in made.programs if name.startswith(f"vm-{row['name']}.")]:
            del made.programs[name]
    else:
        raise _unknown(row)


def _unknown(row: Mapping[str, Any]) -> ValueError:
    return ValueError(f"unknown kind {row['kind']!r}")
