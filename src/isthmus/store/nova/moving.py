"""The rows of a host in a cell's database, and the mappings that lead to them: read and written.

This is the one place that writes to Nova's databases; what may be written when is decided in
`isthmus.cells.moving`.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.host_tables import MOVED, By, MovedTable
from isthmus.model.compute.move import HostRows, HostService
from isthmus.store.nova import tables
from isthmus.store.nova.cell import find_closed
from isthmus.store.nova.reading import API_DATABASE, PLACEMENT_DATABASE, read_now, reading, writing

_COMPUTE = "nova-compute"
#: Ids that others may take while a host is copied.
_GAP = 1000
#: Uuids or ids in one statement.
_BATCH = 500
#: Moves of these states have ended.
_ENDED = ("error", "failed", "completed", "confirmed", "reverted", "cancelled", "done")


class CellTables:
    """The rows of one cell, in one transaction."""

    def __init__(
        self, connection: sa.Connection, down_time_s: int, metadata: sa.MetaData | None = None
    ) -> None:
        """Bind it to a connection.

        Args:
            connection: in a transaction.
            down_time_s: a service is down that was not seen for so long.
            metadata: of the tables, where they were looked at before.
        """
        self._connection = connection
        self._down_time_s = down_time_s
        self._metadata = sa.MetaData() if metadata is None else metadata
        there = set(sa.inspect(connection).get_table_names())
        self._moved = {one.name: one for one in MOVED if one.name in there}

    def _table(self, name: str) -> sa.Table:
        # Each for itself: what it refers to is not followed.
        return sa.Table(name, self._metadata, autoload_with=self._connection, resolve_fks=False)

    def find_service(self, host: str) -> HostService | None:
        """Find the service nova-compute of a host."""
        service = tables.SERVICES.c
        row = self._connection.execute(
            sa.select(
                service.disabled,
                service.disabled_reason,
                service.forced_down,
                sa.func.coalesce(service.last_seen_up, service.created_at).label("seen"),
                sa.type_coerce(read_now(self._connection), sa.DateTime()).label("now"),
            ).where(*_is_compute(host))
        ).mappings()
        found = row.first()
        if found is None:
            return None
        plain = {**found, "disabled": False}
        return HostService(
            disabled=bool(found["disabled"]),
            reason=found["disabled_reason"],
            closed=find_closed(plain, self._down_time_s),
            forced_down=bool(found["forced_down"]),
            seen=found["seen"],
        )

    def set_service(self, host: str, *, disabled: bool, reason: str | None) -> None:
        """Enable or disable it."""
        self._connection.execute(
            sa.update(tables.SERVICES)
            .where(*_is_compute(host))
            .values(disabled=int(disabled), disabled_reason=reason)
        )

    def set_forced_down(self, host: str, *, down: bool) -> None:
        """Have Nova take it for down, or look for itself."""
        self._connection.execute(
            sa.update(tables.SERVICES).where(*_is_compute(host)).values(forced_down=int(down))
        )

    def read(self, host: str, *, lock: bool = False) -> HostRows:
        """Read all rows of a host; with `lock` nobody changes its servers until the end."""
        found: HostRows = {one.name: [] for one in MOVED}
        for name in self._moved:
            found[name] = self._read_table(MOVED_BY_NAME[name], host, found, lock=lock)
        return found

    def _read_table(
        self, one: MovedTable, host: str, found: HostRows, *, lock: bool
    ) -> list[dict[str, Any]]:
        table = self._table(one.name)
        column = table.c[one.column]
        statement = sa.select(table)
        if lock:
            statement = statement.with_for_update()
        if one.by is By.HOST:
            plain = [column == host]
            if one.binary:
                plain.append(table.c.binary == one.binary)
            return self._list(statement.where(*plain))
        keys = {
            By.SERVER: [row["uuid"] for row in found["instances"]],
            By.NODE: [row["id"] for row in found["compute_nodes"]],
            By.ACTION: [row["id"] for row in found["instance_actions"]],
        }[one.by]
        return [
            row for some in _part(keys) for row in self._list(statement.where(column.in_(some)))
        ]

    def _list(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(statement).mappings()]

    def list_open_moves(self, host: str) -> Sequence[str]:
        """List the servers with a migration from or to a host that has not ended."""
        move = self._table("migrations").c
        return sorted(
            set(
                self._connection.scalars(
                    sa.select(move.instance_uuid).where(
                        move.deleted == 0,
                        move.status.not_in(_ENDED),
                        sa.or_(move.source_compute == host, move.dest_compute == host),
                    )
                )
            )
        )

    def find_taken(self, rows: HostRows) -> Mapping[str, frozenset[int]]:
        """Return which ids of rows are in use here."""
        found = {}
        for one in MOVED:
            if one.keeps_id:
                column = self._table(one.name).c.id
                ids = [row["id"] for row in rows[one.name]]
                found[one.name] = frozenset(
                    taken
                    for some in _part(ids)
                    for taken in self._connection.scalars(sa.select(column).where(column.in_(some)))
                )
        return found

    def find_next_ids(self) -> Mapping[str, int]:
        """Return the first of many free ids of each table."""
        found = {}
        for name in self._moved:
            table = self._table(name)
            if "id" in table.c:
                found[name] = (
                    self._connection.scalar(sa.select(sa.func.max(table.c.id))) or 0
                ) + _GAP
        return found

    def list_columns(self) -> Mapping[str, frozenset[str]]:
        """Return the columns of each table."""
        return {name: frozenset(self._table(name).c.keys()) for name in self._moved}

    def insert(self, rows: HostRows) -> None:
        """Insert rows."""
        for name in self._moved:
            if rows[name]:
                self._connection.execute(self._table(name).insert(), rows[name])

    def delete(self, rows: HostRows) -> None:
        """Delete rows by what they are known by."""
        for name in reversed(self._moved):
            table = self._table(name)
            column = table.c["id" if "id" in table.c else MOVED_BY_NAME[name].column]
            for some in _part([row[column.name] for row in rows[name]]):
                self._connection.execute(sa.delete(table).where(column.in_(some)))

    def set_hidden(self, servers: Sequence[str], *, hidden: bool) -> None:
        """Hide servers from lists, or show them."""
        for some in _part(servers):
            self._connection.execute(
                sa.update(tables.INSTANCES)
                .where(tables.INSTANCES.c.uuid.in_(some))
                .values(hidden=int(hidden))
            )


MOVED_BY_NAME = {one.name: one for one in MOVED}


def _is_compute(host: str) -> tuple[sa.ColumnElement[bool], ...]:
    service = tables.SERVICES.c
    return service.host == host, service.binary == _COMPUTE, service.deleted == 0


def _part(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]


class MoveDatabases:
    """The databases of a Nova, for a host that moves."""

    def __init__(
        self,
        api: str,
        placement: str,
        cells: Sequence[CellAddress],
        *,
        down_time_s: int,
        timeout_s: float,
    ) -> None:
        """Set where they are.

        Args:
            api: URL of Nova's API database.
            placement: URL of Placement's.
            cells: the cells.
            down_time_s: a service is down that was not seen for so long.
            timeout_s: for each answer.
        """
        self._api = api
        self._placement = placement
        self._cells = {one.cell.uuid: one for one in cells}
        self._metadata = {one.cell.uuid: sa.MetaData() for one in cells}
        self._down_time_s = down_time_s
        self._timeout_s = timeout_s

    @contextlib.contextmanager
    def cell(self, uuid: str) -> Iterator[CellTables]:
        """Open a transaction in the database of a cell.

        Raises:
            NotFound: there is no such cell.
            Unreachable: it does not answer.
        """
        if uuid not in self._cells:
            raise errors.NotFound(f"there is no cell {uuid}")
        with writing(self._cells[uuid].database, self._timeout_s) as connection:
            yield CellTables(connection, self._down_time_s, self._metadata[uuid])

    def find_cell_of(self, host: str) -> str | None:
        """Find the uuid of the cell that a host is mapped to."""
        mapping, cell = tables.HOST_MAPPINGS.c, tables.CELL_MAPPINGS.c
        with reading(self._api, self._timeout_s, API_DATABASE) as connection:
            found: str | None = connection.scalar(
                sa.select(cell.uuid)
                .select_from(
                    tables.HOST_MAPPINGS.join(tables.CELL_MAPPINGS, cell.id == mapping.cell_id)
                )
                .where(mapping.host == host)
            )
            return found

    def list_hosts(self, cell: str) -> tuple[str, ...]:
        """List the hosts that are mapped to a cell, by name."""
        mapping, table = tables.HOST_MAPPINGS.c, tables.CELL_MAPPINGS.c
        joined = tables.HOST_MAPPINGS.join(tables.CELL_MAPPINGS, table.id == mapping.cell_id)
        with reading(self._api, self._timeout_s, API_DATABASE) as connection:
            statement = sa.select(mapping.host).select_from(joined).where(table.uuid == cell)
            return tuple(connection.scalars(statement.order_by(mapping.host)))

    def switch(self, host: str, servers: Sequence[str], cell: str) -> None:
        """Map a host and servers to a cell, in one transaction."""
        number = self._cells[cell].id
        with writing(self._api, self._timeout_s, API_DATABASE) as connection:
            for some in _part(servers):
                connection.execute(
                    sa.update(tables.INSTANCE_MAPPINGS)
                    .where(tables.INSTANCE_MAPPINGS.c.instance_uuid.in_(some))
                    .values(cell_id=number)
                )
            connection.execute(
                sa.update(tables.HOST_MAPPINGS)
                .where(tables.HOST_MAPPINGS.c.host == host)
                .values(cell_id=number)
            )

    def list_consumers(self, node: str) -> frozenset[str]:
        """Return who holds allocations of a compute node, by uuid."""
        taken, provider = tables.ALLOCATIONS.c, tables.RESOURCE_PROVIDERS
        root = provider.alias("root")
        with reading(self._placement, self._timeout_s, PLACEMENT_DATABASE) as connection:
            return frozenset(
                connection.scalars(
                    sa.select(taken.consumer_id)
                    .select_from(
                        tables.ALLOCATIONS.join(
                            provider, provider.c.id == taken.resource_provider_id
                        ).join(root, root.c.id == provider.c.root_provider_id)
                    )
                    .where(root.c.uuid == node)
                )
            )
