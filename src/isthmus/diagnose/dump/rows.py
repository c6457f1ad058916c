"""Rows that are found by the values of their columns, without looking at each. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from isthmus.diagnose.world import Row


class IndexedRows:
    """The rows of one table, and where the values of a column are, once somebody asked."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Bind them; nothing is looked at yet."""
        self._rows = rows
        self._places: dict[str, dict[Any, list[int]]] = {}

    def list(self, filters: Mapping[str, Sequence[Any]]) -> list[Row]:
        """List the rows that have one of some values in each of some columns, in their order.

        Args:
            filters: values by column; a list in a column is looked for by what is in it.
        """
        if not filters:
            return [*self._rows]
        found: set[int] | None = None
        for column, wanted in filters.items():
            index = self._index(column)
            here = {at for value in wanted for at in index.get(_key(value), ())}
            found = here if found is None else found & here
        return [self._rows[at] for at in sorted(found or ())]

    def _index(self, column: str) -> Mapping[Any, Sequence[int]]:
        if column not in self._places:
            index: dict[Any, list[int]] = {}
            for at, row in enumerate(self._rows):
                for value in _values(column, row.get(column)):
                    index.setdefault(_key(value), []).append(at)
            self._places[column] = index
        return self._places[column]


def _values(column: str, value: Any) -> Iterator[Any]:
    """Yield what a row is found by: addresses of a port, elements of a set, the value."""
    if column == "fixed_ips":
        yield from {f"ip_address={one.get('ip_address')}" for one in value or ()}
    elif isinstance(value, list):
        yield from _distinct(value)
    else:
        yield value


def _distinct(values: Iterable[Any]) -> Iterator[Any]:
    seen = set()
    for value in values:
        if (key := _key(value)) not in seen:
            seen.add(key)
            yield value


def _key(value: Any) -> Any:
    """Return what stands for a value in an index: True is not 1 here."""
    if isinstance(value, bool | int | str) or value is None:
        return (type(value), value)
    return (str, repr(value))
