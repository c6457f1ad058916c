"""What adding a cell needs of the world."""

from typing import Protocol

from isthmus.model.compute.adding import AddState, Holds, NewCell
from isthmus.model.compute.cloud import CellAddress


class DatabaseServer(Protocol):
    """The database server that is to hold a cell's database."""

    def read(self, url: str) -> Holds:
        """Return what the database of a URL has."""

    def ensure_database(self, url: str, reached_from: str) -> None:
        """Make the database of a URL, empty, and the user that logs in there, with its rights."""

    def drop(self, url: str, reached_from: str) -> None:
        """Drop the database of a URL and its user, and end what they do."""


class Queue(Protocol):
    """A RabbitMQ, as its administrator sees it."""

    def is_there(self, url: str) -> bool:
        """Tell whether the vhost and the user of a URL are there, with their permission."""

    def is_any_there(self, url: str) -> bool:
        """Tell whether the vhost or the user is there."""

    def ensure(self, url: str) -> None:
        """Make both."""

    def drop(self, url: str) -> None:
        """Delete both."""


class Record(Protocol):
    """The file of a new cell: what nova-conductor reads, and the journal of the procedure."""

    def find(self) -> NewCell | None:
        """Read it; None where there is none."""

    def write(self, cell: NewCell) -> None:
        """Write it, for its owner alone to read."""

    def remove(self) -> None:
        """Remove it."""


class Manage(Protocol):
    """nova-manage."""

    def migrate(self) -> None:
        """Bring the tables of the new cell's database to the revision of the installed Nova."""

    def map_cell(self, name: str) -> None:
        """Map the new cell, disabled."""

    def discover(self, uuid: str) -> None:
        """Map the hosts that announced themselves in a cell."""


class Conductors(Protocol):
    """Runs nova-conductor of the new cell."""

    @property
    def by_hand(self) -> bool:
        """Tell whether a person or a role does."""

    def start(self, cell: NewCell) -> None:
        """Start it; nothing is done where it runs."""

    def stop(self, cell: NewCell) -> None:
        """End it; nothing is done where it does not run."""


class Cells(Protocol):
    """The cells of the Nova."""

    def list_cells(self) -> tuple[CellAddress, ...]:
        """List them, with cell0."""

    def look(self, cell: NewCell, state: AddState) -> AddState:
        """Return what there is of a new cell, with what is known of it besides."""

    def set_enabled(self, uuid: str, *, enabled: bool) -> None:
        """Have the scheduler use a cell, or leave it out."""

    def remove(self, uuid: str) -> None:
        """Delete the mapping of a cell in which nothing is left.

        Raises:
            InUse: something is.
        """


class Canary(Protocol):
    """A server that is made to prove a cell, and deleted again."""

    def prove(self, host: str) -> str:
        """Have a server built on a host, and delete it; return how it went.

        Raises:
            StepFailed: it was not built.
        """
