"""What every list of the Admin API has in common: Neutron's arguments, dates, single rows."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from neutron_lib.db import utils as db_utils

from isthmus import errors
from isthmus.neutron.api.faults import translated
from isthmus.neutron.db.session import reading
from isthmus.store.sql.page import Page

Row = dict[str, Any]


def to_page(
    sorts: Sequence[tuple[str, bool]] | None = None,
    limit: int | None = None,
    marker: str | None = None,
    page_reverse: bool = False,
) -> Page:
    """Convert Neutron's paging arguments.

    Args:
        sorts: (key, ascending), in order of precedence.
        limit: how many rows at most; None for no limit.
        marker: id of the last row of the previous page.
        page_reverse: whether to list the page before the marker.
    """
    return Page(sorts=tuple(sorts or ()), limit=limit, marker=marker, reverse=page_reverse)


class ListPage(Protocol):
    """Lists a part of a table; `isthmus.store` has one for each table that an API shows."""

    def __call__(
        self, connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
    ) -> list[Row]:
        """List the rows."""


def collect_rows(
    context: Any,
    list_page: ListPage,
    *,
    filters: Mapping[str, Sequence[Any]] | None = None,
    **paging: Any,
) -> list[Row]:
    """List the rows that a request asks for; `paging` is as in `to_page`.

    Raises:
        Fault: a sort key, a marker or a filter's value is invalid.
    """
    with translated(), reading(context) as connection:
        return list_page(connection, filters=filters or {}, page=to_page(**paging))


def to_rows(rows: Iterable[Mapping[str, Any]], fields: Sequence[str] | None) -> list[Row]:
    """Convert rows into the form of the API, with the requested fields."""
    return [
        db_utils.resource_fields({key: _plain(value) for key, value in row.items()}, fields)
        for row in rows
    ]


def get_one(
    lister: Callable[..., list[Row]], context: Any, word: str, row_id: str, fields: Any
) -> Row:
    """Return one row through the list.

    Args:
        lister: lists rows, by filters.
        context: of the request.
        word: the noun for the error.
        row_id: id of the row.
        fields: the requested fields; None for all.

    Raises:
        NotFound: there is none.
    """
    found = lister(context, filters={"id": [row_id]}, fields=fields)
    if not found:
        raise errors.NotFound(f"there is no {word} {row_id}")
    return found[0]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(microsecond=0).isoformat() + "Z"
    return value
