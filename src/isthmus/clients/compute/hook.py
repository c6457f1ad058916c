"""nova-compute of hosts, stopped and started by a program of the deployer's, or by a person."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.clients.machine import shell
from isthmus.model.compute.cloud import CellAddress

_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class HookComputes:
    """A program is called as `PROGRAM stop|start HOST CELL`; its end is the end of that."""

    program: Path

    def stop(self, host: str, cell: CellAddress) -> bool:
        """Have it stop nova-compute, while the guests run on.

        Args:
            host: whose it is.
            cell: that it is in.

        Raises:
            StepFailed: the program failed.
        """
        shell.run([self.program, "stop", host, cell.cell.name], timeout_s=_TIMEOUT_S)
        return True

    def start(self, host: str, cell: CellAddress) -> None:
        """Have it start nova-compute with the queue of a cell.

        Args:
            host: whose it is.
            cell: whose queue it is to use.

        Raises:
            StepFailed: the program failed.
        """
        shell.run([self.program, "start", host, cell.cell.name], timeout_s=_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class HandComputes:
    """A person is told what to do, and the databases tell when it is done."""

    tell: Callable[[str], None]

    def stop(self, host: str, cell: CellAddress) -> bool:
        """Tell a person to stop nova-compute; nobody knows when that is done.

        Args:
            host: whose it is.
            cell: that it is in.
        """
        self.tell(
            f"Stop nova-compute of {host} (cell {cell.cell.name}) now, and, to wait no longer than "
            f"needed: openstack compute service set --down {host} nova-compute"
        )
        return False

    def start(self, host: str, cell: CellAddress) -> None:
        """Tell a person to start it with the queue of a cell.

        Args:
            host: whose it is.
            cell: whose queue it is to use.
        """
        self.tell(f"Start nova-compute of {host} with transport_url of cell {cell.cell.name} now.")


@dataclass(frozen=True, slots=True)
class HandConductors:
    """A person or a role starts the conductor of a new cell."""

    tell: Callable[[str], None]
    by_hand: bool = True

    def start(self, cell: object) -> None:
        """Leave it to them; they are told with the step itself."""

    def stop(self, cell: object) -> None:
        """Tell them to stop it."""
        del cell
        self.tell("Stop the nova-conductor of that cell.")
