"""Nova's scheduler and API take note of cells that are added, enabled, disabled and removed.

Nova reads its cells when a process starts, and the scheduler again at a SIGHUP, which does not
reach its workers in 34. Here both read them again, at most once in a second, with what Nova offers
for code of others: a weigher, which the scheduler loads, and a filter of the API's pipeline.

    [filter_scheduler]
    weight_classes = nova.scheduler.weights.all_weighers,isthmus.nova.fresh_cells.FreshCells

    [filter:fresh_cells]
    paste.filter_factory = isthmus.nova.fresh_cells:make_filter

Source:
    nova 34.0.0: `nova.context.load_cells`, `nova.compute.api.load_cells`,
    `nova.scheduler.host_manager.HostManager.refresh_cells_caches`.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from nova import context as nova_context
from nova import objects
from nova.compute import api
from nova.scheduler import weights
from typing_extensions import override

#: How old what is known of the cells may be, in seconds.
MOST_AGE_S = 1.0

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Freshness:
    """When something was last read; for as many threads as there are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing read."""
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at: float | None = None

    def renew(self, read: Callable[[], None]) -> None:
        """Read again where that is due; others wait for it, so that nobody acts on what is old."""
        with self._lock:
            now = self._clock()
            if self._read_at is None or now - self._read_at >= MOST_AGE_S:
                read()
                self._read_at = now


def forget_moved(
    known: dict[str, tuple[str, str]], cells: Iterable[Any], connections: dict[str, Any]
) -> None:
    """Drop the connections of cells whose database or queue is another one now.

    Args:
        known: uuid -> database and queue, as they were; brought up to date.
        cells: the mappings.
        connections: Nova's, by uuid.
    """
    now = {one.uuid: (one.database_connection, one.transport_url) for one in cells}
    for uuid, where in known.items():
        if now.get(uuid) != where:
            connections.pop(uuid, None)
    known.clear()
    known.update(now)


class FreshCells(weights.BaseHostWeigher):
    """A weigher that weighs all hosts alike: what counts is that the scheduler loads it."""

    def __init__(self) -> None:
        """Have the scheduler read the cells before it looks for hosts."""
        super().__init__()
        from nova.scheduler import host_manager  # which the API has no use for

        plain = host_manager.HostManager.get_host_states_by_uuids
        if getattr(plain, "reads_cells", False):
            return
        freshness, known = Freshness(), dict[str, tuple[str, str]]()

        def get_host_states_by_uuids(manager: Any, *arguments: Any, **named: Any) -> Any:
            def read() -> None:
                manager.refresh_cells_caches()
                forget_moved(known, manager.cells.values(), nova_context.CELL_CACHE)

            freshness.renew(read)
            return plain(manager, *arguments, **named)

        get_host_states_by_uuids.reads_cells = True  # type: ignore[attr-defined]
        host_manager.HostManager.get_host_states_by_uuids = get_host_states_by_uuids

    @override
    def weight_multiplier(self, host_state: Any) -> float:
        return 0.0

    @override
    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        return 0.0


class FreshApi:
    """What stands before the API and has it read the cells."""

    def __init__(self, application: Wsgi) -> None:
        """Stand before an application."""
        self._application = application
        self._freshness = Freshness()
        self._known: dict[str, tuple[str, str]] = {}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        self._freshness.renew(self._read)
        return self._application(environ, start_response)

    def _read(self) -> None:
        cells = objects.CellMappingList.get_all(nova_context.get_admin_context())
        forget_moved(self._known, cells, nova_context.CELL_CACHE)
        # Whoever iterates the list of before goes on with that.
        nova_context.CELLS = cells
        api.CELLS = cells


def make_filter(_global: dict[str, str], **_local: str) -> Callable[[Wsgi], FreshApi]:
    """Make the filter, for PasteDeploy."""
    return FreshApi
