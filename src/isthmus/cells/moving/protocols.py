"""What a move needs of the databases."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.move import HostRows, HostService


class CellRows(Protocol):
    """The rows of one cell, in one transaction that is committed at its end."""

    def find_service(self, host: str) -> HostService | None:
        """Find the service nova-compute of a host."""

    def set_service(self, host: str, *, disabled: bool, reason: str | None) -> None:
        """Enable or disable it."""

    def set_forced_down(self, host: str, *, down: bool) -> None:
        """Have Nova take it for down, or look for itself."""

    def read(self, host: str, *, lock: bool = False) -> HostRows:
        """Read all rows of a host; with `lock` nobody changes its servers until the end."""

    def list_open_moves(self, host: str) -> Sequence[str]:
        """List the servers with a migration from or to a host that has not ended."""

    def find_taken(self, rows: HostRows) -> Mapping[str, frozenset[int]]:
        """Return which ids of rows are in use here."""

    def find_next_ids(self) -> Mapping[str, int]:
        """Return the first of many free ids of each table."""

    def list_columns(self) -> Mapping[str, frozenset[str]]:
        """Return the columns of each table."""

    def insert(self, rows: HostRows) -> None:
        """Insert rows."""

    def delete(self, rows: HostRows) -> None:
        """Delete rows by what they are known by."""

    def set_hidden(self, servers: Sequence[str], *, hidden: bool) -> None:
        """Hide servers from lists, or show them."""


class Databases(Protocol):
    """The databases of a Nova."""

    def cell(self, uuid: str) -> AbstractContextManager[CellRows]:
        """Open a transaction in the database of a cell.

        Raises:
            NotFound: there is no such cell.
            Unreachable: it does not answer.
        """

    def find_cell_of(self, host: str) -> str | None:
        """Find the uuid of the cell that a host is mapped to."""

    def list_hosts(self, cell: str) -> tuple[str, ...]:
        """List the hosts that are mapped to a cell, by name."""

    def switch(self, host: str, servers: Sequence[str], cell: str) -> None:
        """Map a host and servers to a cell, in one transaction."""

    def list_consumers(self, node: str) -> frozenset[str]:
        """Return who holds allocations of a compute node, by uuid."""


class Computes(Protocol):
    """Stops and starts nova-compute of hosts."""

    def stop(self, host: str, cell: CellAddress) -> bool:
        """Stop it, while its guests run on; return whether it has stopped.

        Args:
            host: whose it is.
            cell: that it is in.
        """

    def start(self, host: str, cell: CellAddress) -> None:
        """Start it with the queue of a cell; nothing is done where it runs with that.

        Args:
            host: whose it is.
            cell: whose queue it is to use.
        """
