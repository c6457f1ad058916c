"""The mappings of servers to cells, and the cells, in Nova's API database."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.server import InstanceMapping
from isthmus.store.nova import tables
from isthmus.store.nova.api import list_cells
from isthmus.store.nova.reading import API_DATABASE, check_pattern, format_url, reading

_TABLE = tables.INSTANCE_MAPPINGS.c
_CELLS = tables.CELL_MAPPINGS.c
#: Rows that are read at once.
_BATCH = 1000


def collect_cells(url: str, template: str, timeout_s: float) -> tuple[CellAddress, ...]:
    """Read the cell mappings, with cell0.

    Args:
        url: of the API database.
        template: `[database] connection`, for cell mappings that refer to it.
        timeout_s: for each answer.

    Raises:
        Unreachable: it does not answer.
    """
    with reading(url, timeout_s, API_DATABASE) as connection:
        return list_cells(connection, template)


def with_queues(cells: Iterable[CellAddress], template: str) -> tuple[CellAddress, ...]:
    """Return cells with their queues as Nova fills them in.

    Args:
        cells: as the mappings have them.
        template: `[DEFAULT] transport_url`, for mappings that refer to it.
    """
    return tuple(replace(one, queue=format_url(one.queue, template)) for one in cells)


def collect_links(
    url: str, timeout_s: float
) -> tuple[dict[str, str], dict[str, str], frozenset[str]]:
    """Read which cell each host and each server is mapped to, and which servers are leaving.

    A mapping to a cell that does not exist has the number of that instead of a uuid; a server that
    no cell has yet is mapped to the empty one.

    Raises:
        Unreachable: the database does not answer.
    """
    host = tables.HOST_MAPPINGS.c
    with reading(url, timeout_s, API_DATABASE) as connection:
        uuids = {row[0]: row[1] for row in connection.execute(sa.select(_CELLS.id, _CELLS.uuid))}
        hosts = {
            name: uuids.get(cell, str(cell))
            for name, cell in connection.execute(sa.select(host.host, host.cell_id))
        }
        servers: dict[str, str] = {}
        leaving = set()
        for uuid, cell, queued in connection.execute(
            sa.select(_TABLE.instance_uuid, _TABLE.cell_id, _TABLE.queued_for_delete)
        ):
            servers[uuid] = "" if cell is None else uuids.get(cell, str(cell))
            if queued:
                leaving.add(uuid)
    return hosts, servers, frozenset(leaving)


class ApiMappings:
    """The mappings of servers to cells."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Set where the API database is, and how long each answer may take."""
        self._url = url
        self._timeout_s = timeout_s

    def find(self, uuid: str) -> InstanceMapping | None:
        """Find the mapping of one server.

        Raises:
            Unreachable: the database does not answer.
        """
        with reading(self._url, self._timeout_s, API_DATABASE) as connection:
            row = connection.execute(_select().where(_TABLE.instance_uuid == uuid)).first()
            return None if row is None else _to_mapping(row)

    def check_patterns(self, patterns: Iterable[str]) -> None:
        """Check regular expressions as the databases read them.

        Raises:
            Invalid: one is none.
            Unreachable: the database does not answer.
        """
        with reading(self._url, self._timeout_s, API_DATABASE) as connection:
            for one in patterns:
                check_pattern(connection, one)

    def find_flavor(self, name: str) -> int | None:
        """Find the internal id of a flavor by its name or id.

        Raises:
            Unreachable: the database does not answer.
        """
        table = tables.FLAVORS.c
        with reading(self._url, self._timeout_s, API_DATABASE) as connection:
            found: int | None = connection.scalar(
                sa.select(table.id).where(sa.or_(table.name == name, table.flavorid == name))
            )
            return found

    def list_unknown(self, cell: str, project: str) -> Iterator[InstanceMapping]:
        """List the servers of a cell that are not being deleted, the oldest mapping first.

        Args:
            cell: its uuid.
            project: whose; empty for all.

        Raises:
            Unreachable: the database does not answer.
        """
        last = 0
        while True:
            with reading(self._url, self._timeout_s, API_DATABASE) as connection:
                statement = (
                    _select()
                    .where(_CELLS.uuid == cell, _TABLE.id > last, *_in_use(project))
                    .order_by(_TABLE.id)
                    .limit(_BATCH)
                )
                rows = connection.execute(statement).all()
            yield from map(_to_mapping, rows)
            if len(rows) < _BATCH:
                return
            last = rows[-1].id

    def count_unknown(self, cell: str, project: str) -> int:
        """Count the servers of a cell that are not being deleted.

        Raises:
            Unreachable: the database does not answer.
        """
        with reading(self._url, self._timeout_s, API_DATABASE) as connection:
            statement = (
                sa.select(sa.func.count())
                .select_from(_JOINED)
                .where(_CELLS.uuid == cell, *_in_use(project))
            )
            return int(connection.scalar(statement) or 0)


_JOINED = tables.INSTANCE_MAPPINGS.outerjoin(tables.CELL_MAPPINGS, _CELLS.id == _TABLE.cell_id)


def _select() -> sa.Select[Any]:
    return sa.select(
        _TABLE.id,
        _TABLE.instance_uuid,
        _TABLE.project_id,
        _TABLE.created_at,
        _CELLS.uuid.label("cell"),
    ).select_from(_JOINED)


def _in_use(project: str) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [
        sa.or_(_TABLE.queued_for_delete == 0, _TABLE.queued_for_delete.is_(None))
    ]
    if project:
        found.append(_TABLE.project_id == project)
    return found


def _to_mapping(row: Any) -> InstanceMapping:
    return InstanceMapping(
        uuid=row.instance_uuid,
        project_id=row.project_id or "",
        cell=row.cell or "",
        created_at=row.created_at,
    )
