"""The servers of one cell, in a given order and from a given place on.

Source:
    nova.db.main.api 34.0.0: `instance_get_all_by_filters_sort`, `_exact_instance_filter`,
    `_regex_instance_filter`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.server import ServerFilters, ServerQuery, ServerRow, SortKey
from isthmus.store.nova import tables
from isthmus.store.nova.reading import format_pattern, reading
from isthmus.store.nova.server.details import add_details

_TABLE = tables.INSTANCES
_SOFT_DELETED = "soft-delete"
#: Columns of text that a database sorts by its collation.
_TEXTS = frozenset(
    {
        "access_ip_v4",
        "access_ip_v6",
        "availability_zone",
        "config_drive",
        "display_description",
        "display_name",
        "host",
        "hostname",
        "image_ref",
        "kernel_id",
        "key_name",
        "node",
        "project_id",
        "ramdisk_id",
        "root_device_name",
        "task_state",
        "user_id",
        "vm_state",
    }
)
_ENUMS = frozenset({"locked_by"})
#: Columns of text are no longer than this, in characters.
_LONGEST = 255


class CellServers:
    """The servers in databases of cells."""

    def __init__(self, timeout_s: float, *, pooled: bool = False) -> None:
        """Set how long each answer may take, and whether connections are kept."""
        self._timeout_s = timeout_s
        self._pooled = pooled

    def batches(
        self, address: CellAddress, query: ServerQuery, size: int
    ) -> Iterator[list[ServerRow]]:
        """Read what a query asks for, in its order, so many rows at a time.

        Args:
            address: of the cell.
            query: what is asked for.
            size: of a batch; the last one may be smaller.

        Raises:
            Unreachable: the database does not answer.
            Inconsistent: it refuses what is asked.
        """
        after = query.after
        with reading(address.database, self._timeout_s, pooled=self._pooled) as connection:
            while True:
                rows = _read_rows(connection, query, after, size)
                if rows:
                    add_details(connection, [values for _, values in rows], query.details)
                    # Before rows are given away: what becomes of them is not for here.
                    last = rows[-1][1]
                    after = tuple(last[one.column] for one in query.order)
                    yield [
                        ServerRow(address.cell.uuid, tuple(rank), values) for rank, values in rows
                    ]
                if len(rows) < size:
                    return

    def find_values(self, address: CellAddress, uuid: str) -> dict[str, Any] | None:
        """Find the row of `instances` of one server, deleted or not.

        Raises:
            Unreachable: the database does not answer.
        """
        with reading(address.database, self._timeout_s, pooled=self._pooled) as connection:
            row = connection.execute(sa.select(_TABLE).where(_TABLE.c.uuid == uuid)).mappings()
            found = row.first()
            return None if found is None else dict(found)


_Read = tuple[list[Any], dict[str, Any]]


def _read_rows(
    connection: sa.Connection, query: ServerQuery, after: Sequence[Any] | None, size: int
) -> list[_Read]:
    """Read one batch: for each row what it is sorted by, and its values."""
    dialect = connection.dialect.name
    ranks = [
        _rank(one.column, dialect).label(f"rank_{number}") for number, one in enumerate(query.order)
    ]
    statement = sa.select(_TABLE, *ranks).where(*_plan_filters(query.filters, dialect))
    if after is not None:
        statement = statement.where(_plan_after(query.order, after))
    for one in query.order:
        column = _sorted_by(one.column)
        statement = statement.order_by(column.desc() if one.descending else column.asc())
    width = len(_TABLE.c)
    names = [one.name for one in _TABLE.c]
    return [
        (list(row[width:]), dict(zip(names, row[:width], strict=True)))
        for row in connection.execute(statement.limit(size))
    ]


def _sorted_by(column: str) -> sa.ColumnElement[Any]:
    """Return what a column is sorted and compared by; MariaDB sorts an ENUM by its numbers."""
    plain = _TABLE.c[column]
    return sa.cast(plain, sa.String(_LONGEST)) if column in _ENUMS else plain


def _rank(column: str, dialect: str) -> sa.ColumnElement[Any]:
    """Return what sorts as the database sorts a column: rows of several are compared by it."""
    plain = _TABLE.c[column]
    if dialect == "sqlite" or column not in _TEXTS:
        return sa.type_coerce(plain, plain.type)
    # What its collation makes of a text, filled up with blanks as it compares. The length is
    # part of the syntax, and no parameter.
    return sa.literal_column(
        f"WEIGHT_STRING({_TABLE.name}.{column} AS CHAR({_LONGEST}))", sa.LargeBinary()
    )


def _plan_after(order: Sequence[SortKey], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Select what comes after a row in an order; NULL is less than every value."""
    ways = []
    equal: list[sa.ColumnElement[bool]] = []
    for one, value in zip(order, values, strict=True):
        column = _sorted_by(one.column)
        if one.descending and value is not None:
            ways.append(sa.and_(*equal, sa.or_(column < value, column.is_(None))))
        elif not one.descending:
            more = column.is_not(None) if value is None else column > value
            ways.append(sa.and_(*equal, more))
        equal.append(column.is_(None) if value is None else column == value)
    return sa.or_(sa.false(), *ways)


def _plan_filters(filters: ServerFilters, dialect: str) -> list[sa.ColumnElement[bool]]:
    table = _TABLE.c
    found: list[sa.ColumnElement[bool]] = [sa.or_(table.hidden == 0, table.hidden.is_(None))]
    found += [
        column == value
        for column, value in (
            (table.project_id, filters.project_id),
            (table.user_id, filters.user_id),
            (table.host, filters.host),
            (table.image_ref, filters.image_ref),
        )
        if value
    ]
    if filters.flavor_id is not None:
        found.append(table.instance_type_id == filters.flavor_id)
    if filters.vm_states:
        found.append(table.vm_state.in_(filters.vm_states))
    if filters.task_states:
        found.append(table.task_state.in_(filters.task_states))
    if filters.locked is not None:
        found.append(table.locked == int(filters.locked))
    for name, pattern in filters.patterns.items():
        safe = format_pattern(pattern, dialect)
        found.append(table[name].op("REGEXP", return_type=sa.Boolean())(safe))
    found += [
        sa.exists().where(tables.TAGS.c.resource_id == table.uuid, tables.TAGS.c.tag == one)
        for one in filters.tags
    ]
    if filters.changes_since is not None:
        found.append(table.updated_at >= filters.changes_since)
    if filters.changes_before is not None:
        found.append(table.updated_at <= filters.changes_before)
    return found + _plan_deleted(filters)


def _plan_deleted(filters: ServerFilters) -> list[sa.ColumnElement[bool]]:
    table = _TABLE.c
    if filters.deleted is None:
        return []
    if filters.deleted:
        return [sa.or_(table.deleted == table.id, table.vm_state == _SOFT_DELETED)]
    return [
        table.deleted == 0,
        sa.or_(table.vm_state != _SOFT_DELETED, table.vm_state.is_(None)),
    ]
