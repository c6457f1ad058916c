"""An OVN database: reading its rows, and writing commands into it.

The connection is either Neutron's own (in an API process, whose copy of the database is there
anyway) or made by `ovn_connection.connect`. Rows are read under the connection's lock, some
hundreds at a time, so that Neutron's own work waits for milliseconds only. How commands are cut
into transactions is in `ovn_write`.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ovsdbapp.backend.ovs_idl import idlutils

from isthmus.clients.ovsdb import ovn_write

_ROWS_PER_LOCK = 500


class Database:
    """One database of a site, northbound or southbound."""

    def __init__(self, api: Any) -> None:
        """Use an ovsdbapp API."""
        self.api = api
        self.pace = ovn_write.Pace()

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Return the connection's lock: rows change under who does not hold it."""
        lock: AbstractContextManager[Any] = self.api.ovsdb_connection.lock
        return lock

    def find(self, table: str, value: Any, column: str = "name") -> Any:
        """Find a row by one of its columns; None where there is none."""
        with self.lock:
            return idlutils.row_by_value(self.api.idl, table, column, value, None)

    def rows(self, table: str) -> Iterator[Any]:
        """Return every row, holding the lock for a few hundred of them at a time."""
        rows = self.api.tables[table].rows
        with self.lock:
            uuids = iter(list(rows))
        while chunk := list(itertools.islice(uuids, _ROWS_PER_LOCK)):
            with self.lock:
                for uuid in chunk:
                    if uuid in rows:
                        yield rows[uuid]

    def commit(self, commands: Sequence[ovn_write.Command]) -> list[str]:
        """Write commands; what this raises and returns is said at `ovn_write.commit`."""
        return ovn_write.commit(self.api, commands, self.pace)
