"""What every list of the Admin API has in common: Neutron's arguments, dates, single rows."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neutron_lib.db import utils as db_utils

from isthmus import errors
from isthmus.store.page import Page

Row = dict[str, Any]


def to_page(
    sorts: Sequence[tuple[str, bool]] | None,
    limit: int | None,
    marker: str | None,
    page_reverse: bool,
) -> Page:
    """Read Neutron's paging arguments."""
    return Page(sorts=tuple(sorts or ()), limit=limit, marker=marker, reverse=page_reverse)


def to_rows(rows: Iterable[Mapping[str, Any]], fields: Sequence[str] | None) -> list[Row]:
    """Bring rows into the form of the API, with the fields that were asked for."""
    return [
        db_utils.resource_fields({key: _plain(value) for key, value in row.items()}, fields)
        for row in rows
    ]


def get_one(
    lister: Callable[..., list[Row]], context: Any, word: str, row_id: str, fields: Any
) -> Row:
    """Get one row through the list.

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
