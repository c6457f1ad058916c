"""One list over all cells: asked at once, merged in one order, never waiting for one that hangs.

Memory is bound by batches, not by servers: each cell is read one batch ahead at most (`feed`), and
the merge holds one row of each. What a cell that does not answer has comes at the end, from the API
database's mappings: nobody knows where in the order it would stand.
"""

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from isthmus import errors
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.feed import AHEAD, Feed
from isthmus.cells.servers.order import rank_row
from isthmus.cells.servers.protocols import Mappings, Servers
from isthmus.model.compute.cloud import Cell, CellAddress
from isthmus.model.compute.server import (
    InstanceMapping,
    ServerQuery,
    ServerRow,
)

#: Rows of a batch: no fewer, so that cells are not asked for each row; no more, for memory.
FEWEST, MOST = 100, 1000
#: So many uuids are remembered: a server that moves between cells is in both for a moment.
_REMEMBERED = 10_000


@dataclass(slots=True)
class Listing:
    """Servers in one order; iterate it once, then ask who did not answer."""

    cells: tuple[CellAddress, ...]
    servers: Servers
    query: ServerQuery
    budget_s: float
    breakers: Breakers
    limit: int | None = None
    silent: list[Cell] = field(default_factory=list)  #: with `error`, after the iteration
    count: int = 0  #: rows so far
    given: dict[str, int] = field(default_factory=dict)  #: uuid of a cell -> its rows so far

    def __iter__(self) -> Iterator[ServerRow]:
        """Yield rows in order."""
        size = plan_batch(self.limit, len(self.cells))
        ahead = AHEAD if self.limit is None else 0  # most pages need the first batch alone
        feeds = [
            Feed(one, self.servers, self.query, size=size, ahead=ahead, breakers=self.breakers)
            for one in self.cells
        ]
        try:
            for row in _merge(feeds, self.query, self.budget_s):
                self.count += 1
                self.given[row.cell] = self.given.get(row.cell, 0) + 1
                yield row
                if self.count == self.limit:  # and wait for no further row
                    break
        finally:
            for one in feeds:
                one.close()
            self.silent += [_say(one.cell, one.error) for one in feeds if one.error]


def plan_batch(limit: int | None, cells: int) -> int:
    """Return how many rows a cell is asked for at once: a little more than its even part.

    As Nova does by default (`instance_list_cells_batch_strategy` distributed), and no more than
    `MOST`, since each cell has two batches in memory.
    """
    if limit is None:
        return MOST
    return max(FEWEST, min(MOST, limit if cells <= 1 else int(limit / cells * 1.1)))


def _say(cell: Cell, error: str) -> Cell:
    return Cell(name=cell.name, uuid=cell.uuid, disabled=cell.disabled, error=error)


def _merge(feeds: Sequence[Feed], query: ServerQuery, budget_s: float) -> Iterator[ServerRow]:
    """Merge sorted rows; all cells have the same time for the first, and each its own later."""
    heads: list[tuple[tuple[object, ...], int, ServerRow]] = []
    deadline = time.monotonic() + budget_s
    # While one is waited for that may never answer, the others read what will be lacking then.
    waiting = threading.Timer(budget_s / 2, _read_ahead, (feeds,))
    waiting.daemon = True
    waiting.start()
    for number, feed in enumerate(feeds):
        row = feed.next(deadline, budget_s)
        if row is not None:
            heapq.heappush(heads, (rank_row(row, query.order), number, row))
    waiting.cancel()
    seen: OrderedDict[str, None] = OrderedDict()
    while heads:
        _, number, row = heads[0]
        uuid = row.values["uuid"]
        if uuid not in seen:
            seen[uuid] = None
            if len(seen) > _REMEMBERED:
                seen.popitem(last=False)
            yield row
        following = feeds[number].next(time.monotonic() + budget_s, budget_s)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (rank_row(following, query.order), number, following))


def _read_ahead(feeds: Sequence[Feed]) -> None:
    for one in feeds:
        one.read_ahead()


def find_after(
    mappings: Mappings,
    servers: Servers,
    cells: Sequence[CellAddress],
    marker: str,
    query: ServerQuery,
) -> tuple[object, ...]:
    """Return where a list goes on after a server, deleted or not.

    Args:
        mappings: say in which cell it is.
        servers: read it there.
        cells: all of them.
        marker: uuid of the server.
        query: whose order it is.

    Raises:
        NotFound: there is no such server.
        Unreachable: its cell does not answer: the list cannot go on there.
    """
    found = mappings.find(marker)
    address = next((one for one in cells if found and one.cell.uuid == found.cell), None)
    values = None
    if address is not None:
        try:
            values = servers.find_values(address, marker)
        except errors.IsthmusError as exc:  # also for a URL that makes no sense
            raise errors.Unreachable(
                f"marker {marker} is in cell {address.cell.name}, which does not answer: "
                f"{exc.message}"
            ) from exc
    if values is None:
        raise errors.NotFound(f"marker {marker} not found")
    return tuple(values[one.column] for one in query.order)


def list_unknown(
    listing: Listing, mappings: Mappings, project: str
) -> Iterator[tuple[Cell, InstanceMapping]]:
    """List what the cells that did not answer at all have, up to the limit of the list.

    Which of its servers a cell had given before it fell silent nobody remembers.

    Args:
        listing: at its end.
        mappings: of Nova's API database.
        project: whose servers; empty for all.
    """
    for cell in listing.silent:
        if listing.given.get(cell.uuid):
            continue
        for one in mappings.list_unknown(cell.uuid, project):
            if listing.limit is not None and listing.count >= listing.limit:
                return
            listing.count += 1
            yield cell, one
