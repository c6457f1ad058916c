"""Lists as Neutron pages them: filters, sort keys, a marker row, a limit, either direction."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus import errors

_UTC = datetime.UTC
#: Of the largest integer type that both databases have.
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part and order of a list."""

    sorts: Sequence[tuple[str, bool]] = ()  #: (key, ascending)
    limit: int | None = None
    marker: str | None = None  #: id of the last row of the page before
    reverse: bool = False  #: the page before the marker instead of the one behind it


def select_page(
    connection: sa.Connection,
    columns: Mapping[str, sa.ColumnElement[Any]],
    *,
    where: Sequence[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    page: Page | None = None,
) -> list[dict[str, Any]]:
    """Select rows as dicts.

    Args:
        connection: of the transaction.
        columns: name to expression; `id` must be among them and unique.
        where: further conditions.
        filters: name to accepted values; names that are not columns are ignored.
        page: part and order; by default all, by id.

    Raises:
        Invalid: a sort key that does not exist, a marker that names no row, or a filter's value
            that is not of its column's type.
    """
    page = page or Page()
    query = sa.select(*(column.label(name) for name, column in columns.items())).where(*where)
    for name, values in (filters or {}).items():
        if name in columns and values:
            column = columns[name]
            query = query.where(column.in_([_converted(name, column, one) for one in values]))
    sorts = _total_order(columns, page)
    if page.marker is not None:
        query = query.where(_behind(connection, columns, sorts, page.marker))
    query = query.order_by(
        *(columns[name].asc() if ascending else columns[name].desc() for name, ascending in sorts)
    )
    rows = read_rows(connection, query.limit(page.limit))
    return rows[::-1] if page.reverse else rows


def read_rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Run a query and return its rows as dicts."""
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001


def _converted(name: str, column: sa.ColumnElement[Any], value: Any) -> Any:
    """Convert a filter's value, which may be text from a URL, to the type of its column.

    Raises:
        Invalid: it is not of the column's type.
    """
    if not isinstance(value, str):
        return value
    try:
        if isinstance(column.type, sa.Boolean):
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        if isinstance(column.type, sa.DateTime):
            moment = datetime.datetime.fromisoformat(value)
            return moment if moment.tzinfo is None else moment.astimezone(_UTC).replace(tzinfo=None)
        if isinstance(column.type, sa.Integer):
            return _bounded(int(value))
        value.encode()  # a lone surrogate is no text of any database
    except (KeyError, ValueError, OverflowError) as error:
        raise errors.Invalid(f"{value[:100]!r} is no value of {name}") from error
    return value


def _bounded(number: int) -> int:
    """Return a number that a database knows; SQLite's driver fails with a larger one.

    Raises:
        OverflowError: it is none.
    """
    if abs(number) > _LARGEST:
        raise OverflowError
    return number


def _total_order(
    columns: Mapping[str, sa.ColumnElement[Any]], page: Page
) -> list[tuple[str, bool]]:
    unknown = [name for name, _ in page.sorts if name not in columns]
    if unknown:
        raise errors.Invalid(f"cannot sort by {unknown[0]!r}")
    sorts = list(page.sorts)
    if all(name != "id" for name, _ in sorts):
        sorts.append(("id", True))
    return [(name, ascending != page.reverse) for name, ascending in sorts]


def _behind(
    connection: sa.Connection,
    columns: Mapping[str, sa.ColumnElement[Any]],
    sorts: Sequence[tuple[str, bool]],
    marker: str,
) -> sa.ColumnElement[bool]:
    """Return the condition "after the marker row" for several keys, in lexicographic order."""
    found = connection.execute(
        sa.select(*(columns[name] for name, _ in sorts)).where(columns["id"] == marker)
    ).one_or_none()
    if found is None:
        raise errors.Invalid(f"the marker {marker!r} is not in the list")
    terms = []
    for at, (name, ascending) in enumerate(sorts):
        equal = [_is(columns[key], found[index]) for index, (key, _) in enumerate(sorts[:at])]
        terms.append(sa.and_(*equal, _is_further(columns[name], found[at], ascending=ascending)))
    return sa.or_(*terms)


def _is(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == sa.literal(value, column.type)


def _is_further(
    column: sa.ColumnElement[Any], value: Any, *, ascending: bool
) -> sa.ColumnElement[bool]:
    """Return the condition "behind this value"; in SQLite and MariaDB NULL is below all others."""
    if value is None:
        return column.is_not(None) if ascending else sa.false()
    bound = sa.literal(value, column.type)
    return column > bound if ascending else sa.or_(column < bound, column.is_(None))
