"""What probes need of the outside; `isthmus.wiring.diagnose.ways` joins these with the lab."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is to run."""

    kind: str  #: `guest`, `hypervisor` or `outside`
    name: str  #: id of the port, name of the hypervisor, name of the site
    label: str = ""  #: what people call it


class Said(Protocol):
    """What a command said."""

    @property
    def exit_code(self) -> int:
        """Return its exit code."""

    @property
    def stdout(self) -> str:
        """Return what it wrote to standard output."""

    @property
    def stderr(self) -> str:
        """Return what it wrote to standard error."""


class Begun(Protocol):
    """A command that runs beside us."""

    def read_line(self) -> str:
        """Return the next line that it says; empty at its end."""

    def finish(self, timeout_s: float) -> Said:
        """Tell it to end, and wait for that.

        Raises:
            TimedOut: it did not end in time; it is killed.
        """


class Places(Protocol):
    """Runs a file of Python in the places of ends and on hypervisors."""

    def begin(self, place: Place, script: Path, words: Sequence[str]) -> Begun:
        """Begin it.

        Raises:
            Unsupported: there is no way in.
        """
