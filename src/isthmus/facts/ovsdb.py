"""OVSDB's selects: the transaction that asks for rows, and the answer's rows as plain values.

Source: RFC 7047, 4.1.3 (transact), 5.1 (notation) and 5.2.2 (select).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import errors

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Select:
    """The rows of one table that meet all conditions."""

    table: str
    where: tuple[tuple[str, str, Any], ...] = ()  #: column, function, value in OVSDB's notation
    columns: tuple[str, ...] = ()  #: all, where none is named


def uuid(value: str) -> list[str]:
    """Return a reference in OVSDB's notation."""
    return ["uuid", value]


def one_of(value: Any) -> list[Any]:
    """Return a set of one in OVSDB's notation."""
    return ["set", [value]]


def entry(key: str, value: str) -> list[Any]:
    """Return a map of one entry in OVSDB's notation."""
    return ["map", [[key, value]]]


def render_transaction(database: str, selects: Sequence[Select]) -> str:
    """Write the transaction that asks for rows."""
    operations = []
    for one in selects:
        operation: dict[str, Any] = {
            "op": "select", "table": one.table, "where": [list(term) for term in one.where],
        }  # fmt: skip
        if one.columns:
            operation["columns"] = list(one.columns)
        operations.append(operation)
    return json.dumps([database, *operations])


def parse_answer(text: str, selects: Sequence[Select]) -> list[list[Row]]:
    """Read the rows of each select.

    Raises:
        ProtocolError: the answer is none, or the database refused a select.
    """
    try:
        answers = json.loads(text)
    except ValueError as error:
        raise errors.ProtocolError(f"the database's answer is not JSON: {text[:80]!r}") from error
    found: list[list[Row]] = []
    for select, answer in zip(selects, answers, strict=False):
        if not isinstance(answer, Mapping) or "rows" not in answer:
            raise errors.ProtocolError(
                f"the database refused to list {select.table}: {json.dumps(answer)[:200]}"
            )
        found.append([{key: plain(cell) for key, cell in row.items()} for row in answer["rows"]])
    if len(found) != len(selects):
        raise errors.ProtocolError("the database did not answer every select")
    return found


def plain(cell: Any) -> Any:
    """Return a cell as plain values: a set as a list, a map as a mapping, a reference as text."""
    if isinstance(cell, list) and len(cell) == 2:
        kind, body = cell
        if kind == "map":
            return {str(key): plain(value) for key, value in body}
        if kind == "set":
            return [plain(one) for one in body]
        if kind in {"uuid", "named-uuid"}:
            return str(body)
    return cell
