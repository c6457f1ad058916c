"""What the run of a build needs of the outside, as small Protocols."""

from typing import Protocol

from isthmus.model.rack.build import BuildEvent
from isthmus.model.rack.machine import Machine


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
