"""What a hypervisor keeps about a guest of its own: a value, and the file that it is written to."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from isthmus.model.host.process import ProcessId

FILE = "guest.json"
#: Where a hypervisor says that a guest may come to it, live.
ARRIVAL_FILE = "arrival.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface of a guest."""

    port_id: str
    mac: str
    mtu: int
    name: str  #: in the guest


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One guest."""

    uuid: str
    name: str  #: as the person called it
    netns: str
    host: str  #: the hypervisor that it is on
    host_netns: str
    interfaces: tuple[Interface, ...] = ()
    process: ProcessId | None = None  #: its first process; None while it is off

    def to_json(self) -> str:
        """Return the JSON form."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the JSON form."""
        body: Mapping[str, Any] = json.loads(text)
        process = body["process"] and ProcessId(**body["process"])
        interfaces = tuple(Interface(**row) for row in body["interfaces"])
        return cls(**{**body, "interfaces": interfaces, "process": process})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The hypervisor that a guest goes to, live, as the one that it leaves has to know it."""

    host: str
    netns: str
    switch_socket: str


def find_guest(folder: Path) -> Guest | None:
    """Return the guest whose folder this is; None where there is none."""
    try:
        return Guest.from_json((folder / FILE).read_text())
    except FileNotFoundError:
        return None


def record_guest(folder: Path, guest: Guest) -> None:
    """Write a guest down, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / FILE, guest.to_json())


def find_arrival(folder: Path) -> Arrival | None:
    """Return where a guest goes, live; None where it goes nowhere."""
    try:
        return Arrival(**json.loads((folder / ARRIVAL_FILE).read_text()))
    except FileNotFoundError:
        return None


def record_arrival(folder: Path, arrival: Arrival | None) -> None:
    """Write down where a guest may go, live; None: it is there, or does not go."""
    if arrival is None:
        (folder / ARRIVAL_FILE).unlink(missing_ok=True)
    else:
        _write(folder / ARRIVAL_FILE, json.dumps(dataclasses.asdict(arrival)))


def _write(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}")
    part.write_text(text)
    part.rename(file)
