"""What the run of a build needs of the outside, as small Protocols."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from isthmus.model.rack.build import BuildEvent
from isthmus.model.rack.fleet import Builder
from isthmus.model.rack.machine import Machine

#: Answers a machine's call: method, path, query, body, its address; gives status and text.
Answer = Callable[[str, str, str, str, str], tuple[int, str]]


class Power(Protocol):
    """Power control of machines."""

    def boot_from_network(self, machine: Machine) -> None:
        """Boot a machine from the network once, whatever it does now.

        Raises:
            Unreachable: its controller does not answer.
            Refused: its controller does not want to.
            Broken: its controller answers nonsense.
        """


class EventLog(Protocol):
    """Where events are kept."""

    def append(self, event: BuildEvent) -> None:
        """Append an event; it is on the disk when this returns."""


class EventReader(Protocol):
    """Reads events that somebody may still be writing."""

    def read_new(self) -> Sequence[BuildEvent]:
        """Return what was appended since the last call."""


class BootServices(Protocol):
    """The daemons that machines boot from."""

    def start(self, name: str, argv: Sequence[str | Path], files: Sequence[Path]) -> None:
        """Start one, or adopt the one that runs already with these files.

        Raises:
            StepFailed: it ended at once.
        """

    def find_trouble(self) -> str:
        """Return which one has ended and why, or what keeps one from its work; empty: nothing."""

    def stop(self) -> None:
        """Stop all of them."""


class NodeAnswers(Protocol):
    """What answers machines on a socket."""

    def close(self) -> None:
        """Answer no more."""


class FindFaults(Protocol):
    """What finds that this machine is not ready to build."""

    def __call__(
        self,
        builder: Builder,
        machines: Sequence[Machine],
        images: Path,
        ramdisk: Path,
        sums: Path,
        /,
    ) -> list[str]:
        """Find all that would make a build fail, one sentence each.

        Args:
            builder: what the fleet file says of this machine.
            machines: those to be built.
            images: folder of the images.
            ramdisk: folder of the ramdisk.
            sums: file with the checksums of both.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The builder's own machine."""

    find_faults: FindFaults
    put_files: Callable[[Path, Path, Path], None]  #: TFTP's folder, HTTP's folder, the ramdisk's
    worker_user: Callable[[], str]  #: as whom nginx may run its workers
    open_services: Callable[[Path], BootServices]  #: of a state folder
    open_answers: Callable[[Path, Answer], NodeAnswers]  #: on a socket
    open_power: Callable[[Path | None], Power]  #: with a file of secrets
