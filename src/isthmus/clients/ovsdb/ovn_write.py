"""Writing commands into an OVN database.

They go out in transactions of up to 1,000: with one a row, northd would run once for each. Where
the server refuses a transaction it is halved until the command it dislikes stands alone, so that
one bad row keeps no other from being written. Where it does not get through with one in time, the
next is half as large (`Pace`), and after each that is written twice as large again. Every command
is idempotent.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ovsdbapp import exceptions as ovs_errors
from ovsdbapp.backend.ovs_idl import command, idlutils
from typing_extensions import override

from isthmus import errors

_LOG = logging.getLogger(__name__)

#: How ovsdbapp says that a database does not answer a new connection.
_NO_SCHEMA = "Could not retrieve schema"
#: Rows a transaction; measured: 1,000 switch ports take 50 ms (OVN 23.03 and 25.03).
BATCH_ROWS = 1000


class Command(Protocol):
    """Changes one row, and what hangs on it, within a transaction; its `str` says what."""

    def write(self, tables: "Transaction") -> None:
        """Change the row."""


class Transaction:
    """What a command sees of a database within a transaction."""

    def __init__(self, api: Any, txn: Any) -> None:
        """Use an ovsdbapp API and its transaction."""
        self._api = api
        self._txn = txn

    def find(self, table: str, value: Any, column: str = "name") -> Any:
        """Find a row by one of its columns; None where there is none."""
        return idlutils.row_by_value(self._api.idl, table, column, value, None)

    def insert(self, table: str) -> Any:
        """Insert an empty row."""
        return self._txn.insert(self._api.tables[table])

    def run(self, name: str, /, *args: Any, **options: Any) -> None:
        """Run one of ovsdbapp's own commands, by the name that it has in ovsdbapp's API."""
        getattr(self._api, name)(*args, **options).run_idl(self._txn)


class _Batch(command.BaseCommand):
    def __init__(self, api: Any, commands: Sequence[Command]) -> None:
        super().__init__(api)
        self._commands = commands

    def run_idl(self, txn: Any) -> None:
        tables = Transaction(self.api, txn)
        for one in self._commands:
            one.write(tables)

    @override
    def __str__(self) -> str:
        if not self._commands:
            return "nothing"
        more = len(self._commands) - 1
        return f"{self._commands[0]}" + (f" and {more} more" if more else "")


@dataclass(slots=True)
class Pace:
    """How many rows a database gets through with in one transaction, as far as is known.

    Kept from one plan to the next: a timed-out transaction may have been written after all, so one
    looks again before the rest is tried.
    """

    rows: int = BATCH_ROWS
    overtaxed: bool = False  #: the last transaction was of one row, and timed out

    def written(self) -> None:
        """Record a success: write larger batches."""
        self.rows = min(BATCH_ROWS, self.rows * 2)
        self.overtaxed = False

    def timed_out(self, size: int) -> bool:
        """Halve the batch; return whether to skip what timed out: one row, the first to do so."""
        self.rows = max(1, size // 2)
        alone = size == 1 and not self.overtaxed
        self.overtaxed = size == 1
        return alone


def commit(api: Any, commands: Sequence[Command], pace: Pace) -> list[str]:
    """Write commands, in as few transactions as the database gets through with.

    Args:
        api: ovsdbapp's, of the database.
        commands: in the order in which they are written.
        pace: of the database; kept from one call to the next.

    Returns:
        One sentence for each command that the server refused, or alone did not get through with;
        the rest is written.

    Raises:
        TimedOut: the database did not answer in time; some of it may be written, and what is tried
            next is half as large.
    """
    refused: list[str] = []
    start = 0
    while start < len(commands):
        batch = commands[start : start + pace.rows]
        refused += _commit_batch(api, batch, pace)
        start += len(batch)
    return refused


def is_away(error: Exception) -> bool:
    """Tell whether ovsdbapp could not connect to a database: a bare Exception says so there."""
    return _NO_SCHEMA in str(error)


def is_timeout(error: Exception) -> bool:
    """Tell whether an error means that a database of OVN gave no answer in time."""
    return isinstance(error, ovs_errors.TimeoutException) or (
        isinstance(error, RuntimeError) and "timed out" in str(error)
    )


def _commit_batch(api: Any, commands: Sequence[Command], pace: Pace) -> list[str]:
    try:
        with api.transaction(check_error=True, log_errors=False) as txn:
            txn.add(_Batch(api, commands))
    except (RuntimeError, idlutils.RowNotFound) as error:
        if is_timeout(error):
            return _timed_out(commands, pace, error)
        if len(commands) == 1:
            refusal = f"OVN refused to {commands[0]}: {error}"
            _LOG.warning("%s", refusal)
            return [refusal]
        half = len(commands) // 2
        return _commit_batch(api, commands[:half], pace) + _commit_batch(api, commands[half:], pace)
    pace.written()
    return []


def _timed_out(commands: Sequence[Command], pace: Pace, error: Exception) -> list[str]:
    if pace.timed_out(len(commands)):
        late = f"OVN did not {commands[0]} in time"
        _LOG.warning("%s; the others go on: %s", late, error)
        return [f"{late}{_tell_cause(error)}"]
    raise errors.TimedOut(
        f"an OVN database did not get through with {len(commands)} rows in time "
        f"(the first: {commands[0]}); the next transaction has {pace.rows}{_tell_cause(error)}"
    ) from error


def _tell_cause(error: Exception) -> str:
    """Write why; ovsdbapp's own words are of its objects, which a person cannot read."""
    return "" if isinstance(error, ovs_errors.TimeoutException) else f": {error}"
