"""One cell's part of a list: a thread reads batches ahead, and the merge takes rows from it."""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator

from isthmus import errors
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.protocols import Servers
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.server import ServerQuery, ServerRow

#: Batches that a cell reads ahead of the merge: memory is this times the size of one.
AHEAD = 2
#: How often a thread whose batches nobody takes looks whether the list was given up.
_LOOK_S = 1.0


class Feed:
    """The rows of one cell, in order."""

    def __init__(
        self,
        address: CellAddress,
        servers: Servers,
        query: ServerQuery,
        *,
        size: int,
        breakers: Breakers,
    ) -> None:
        """Start to read, unless the breaker is open.

        Args:
            address: of the cell.
            servers: reads.
            query: what is asked for.
            size: rows in a batch.
            breakers: of all cells.
        """
        self.cell = address.cell
        self.error = ""  #: why no more rows come; empty where it is at its end
        self._breakers = breakers
        self._batches: queue.Queue[list[ServerRow] | BaseException | None] = queue.Queue(AHEAD)
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
            for batch in servers.batches(address, query, size):
                self._put(batch)
                if self._given_up.is_set():
                    return
            self._put(None)
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            self._put(exc)
        finally:
            self._breakers.settle(self.cell.uuid)

    def _put(self, item: list[ServerRow] | BaseException | None) -> None:
        while not self._given_up.is_set():
            with contextlib.suppress(queue.Full):
                self._batches.put(item, timeout=_LOOK_S)
                break

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
        return None

    def _fail(self, why: str) -> None:
        self.error = why
        self._breakers.record_silence(self.cell.uuid, why)
        self.close()

    def close(self) -> None:
        """Read no more."""
        self._is_open = False
        self._given_up.set()
