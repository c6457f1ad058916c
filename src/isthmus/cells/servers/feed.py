"""One cell's part of a list: a thread reads a batch on demand, and the merge takes rows from it."""

import queue
import threading
import time
from collections.abc import Iterator

from isthmus import errors
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.protocols import Servers
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.server import ServerQuery, ServerRow

#: Batches that a cell reads ahead of the merge in a list without end.
AHEAD = 1


class Feed:
    """The rows of one cell, in order."""

    def __init__(
        self,
        address: CellAddress,
        servers: Servers,
        query: ServerQuery,
        *,
        size: int,
        ahead: int,
        breakers: Breakers,
    ) -> None:
        """Start to read, unless the breaker is open.

        Args:
            address: of the cell.
            servers: reads.
            query: what is asked for.
            size: rows in a batch.
            ahead: batches that are read before they are asked for; the first one always is.
            breakers: of all cells.
        """
        self.cell = address.cell
        self.error = ""  #: why no more rows come; empty where it is at its end
        self._breakers = breakers
        self._batches: queue.SimpleQueue[list[ServerRow] | BaseException | None]
        self._batches = queue.SimpleQueue()
        self._demand = threading.Semaphore(1 + ahead)
        self._has_taken = False
        self._rows: Iterator[ServerRow] = iter(())
        self._given_up = threading.Event()
        self._is_open = True
        refused = breakers.admit(self.cell.uuid)
        if refused:
            self.error = refused
            self._is_open = False
            return
        threading.Thread(
            target=self._read, args=(address, servers, query, size), daemon=True
        ).start()

    def _read(self, address: CellAddress, servers: Servers, query: ServerQuery, size: int) -> None:
        try:
            batches = servers.batches(address, query, size)
            while True:
                self._demand.acquire()
                if self._given_up.is_set():
                    return
                batch = next(batches, None)
                self._batches.put(batch)
                if batch is None:
                    return
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            self._batches.put(exc)
        finally:
            self._breakers.settle(self.cell.uuid)

    def next(self, deadline: float, budget_s: float) -> ServerRow | None:
        """Return the next row, None at the end or where the cell does not answer (`error`).

        Args:
            deadline: by the monotonic clock.
            budget_s: that the deadline comes from, for what is said.
        """
        while self._is_open:
            row = next(self._rows, None)
            if row is not None:
                return row
            if self._has_taken:
                self._demand.release()
                self._has_taken = False
            try:
                item = self._batches.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                item = errors.TimedOut(f"no answer within {budget_s:g} s")
            if isinstance(item, errors.IsthmusError):
                self._fail(item.message)
            elif isinstance(item, BaseException):
                self.close()
                raise item
            elif item is None:
                self.close()
                self._breakers.record_answer(self.cell.uuid)
            else:
                self._breakers.record_answer(self.cell.uuid)
                self._rows = iter(item)
                self._has_taken = True
        return None

    def _fail(self, why: str) -> None:
        self.error = why
        self._breakers.record_silence(self.cell.uuid, why)
        self.close()

    def read_ahead(self) -> None:
        """Read one batch more than rows are taken from."""
        self._demand.release()

    def close(self) -> None:
        """Read no more."""
        self._is_open = False
        self._given_up.set()
        self._demand.release()
