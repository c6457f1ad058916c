"""What lists of servers need of others."""

from collections.abc import Iterator
from typing import Any, Protocol

from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.server import InstanceMapping, ServerQuery, ServerRow


class Servers(Protocol):
    """The servers in databases of cells."""

    def batches(
        self, address: CellAddress, query: ServerQuery, size: int
    ) -> Iterator[list[ServerRow]]:
        """Read what a query asks for, in its order, so many rows at a time.

        Raises:
            Transient: the cell does not answer.
            Broken: it answers something else.
        """

    def find_values(self, address: CellAddress, uuid: str) -> dict[str, Any] | None:
        """Find the row of `instances` of one server, deleted or not."""


class Mappings(Protocol):
    """The mappings of servers to cells in Nova's API database."""

    def find(self, uuid: str) -> InstanceMapping | None:
        """Find the mapping of one server."""

    def list_unknown(self, cell: str, project: str) -> Iterator[InstanceMapping]:
        """List the servers of a cell that are not being deleted."""
