"""Rows that are found by the values of their columns. Pure.

One question asks a column once or twice, and looking at each row is quicker than an index; who asks
on gets one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from isthmus.diagnose.world import Row

#: Where the rows are that have a value: of most values there is one, and a list for each would take
#: most of the memory.
Index = dict[Any, int | list[int]]
#: How often each row is looked at for a column before it has an index.
_SCANS = 2
#: Rows that are looked at one by one whatever there is.
_FEW = 200


class IndexedRows:
    """The rows of one table, and where the values of a column are, once somebody asks on."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Bind them; nothing is looked at yet."""
        self._rows = rows
        self._indexes: dict[str, Index] = {}
        self._asked: Counter[str] = Counter()

    def list(self, filters: Mapping[str, Sequence[Any]]) -> list[Row]:
        """List the rows that have one of some values in each of some columns, in their order.

        Args:
            filters: values by column; a list in a column is looked for by what is in it.
        """
        found: Sequence[int] | None = None
        for column, wanted in filters.items():
            keys = {_key(value) for value in wanted}
            if found is not None and len(found) <= _FEW:
                found = [at for at in found if _has(column, self._rows[at].get(column), keys)]
                continue
            here = self._find(column, keys)
            known = None if found is None else set(found)
            found = here if known is None else [at for at in here if at in known]
        return [*self._rows] if found is None else [self._rows[at] for at in found]

    def _find(self, column: str, keys: Set[Any]) -> Sequence[int]:
        """Find the places of the rows that have one of some values in a column, in order."""
        self._asked[column] += 1
        if column not in self._indexes and self._asked[column] <= _SCANS:
            return [at for at, row in enumerate(self._rows) if _has(column, row.get(column), keys)]
        index = self._index(column)
        places: set[int] = set()
        for key in keys:
            at = index.get(key, ())
            places.update((at,) if isinstance(at, int) else at)
        return sorted(places)

    def _index(self, column: str) -> Index:
        if column not in self._indexes:
            index: Index = {}
            for at, row in enumerate(self._rows):
                for key in _keys(column, row.get(column)):
                    _put(index, key, at)
            self._indexes[column] = index
        return self._indexes[column]


def _put(index: Index, key: Any, at: int) -> None:
    known = index.get(key)
    if known is None:
        index[key] = at
    elif isinstance(known, int):
        index[key] = [known, at]
    else:
        known.append(at)


def _has(column: str, value: Any, keys: Set[Any]) -> bool:
    if type(value) is str:
        return value in keys
    return any(key in keys for key in _keys(column, value))


def _keys(column: str, value: Any) -> Iterable[Any]:
    """Return what a row is found by: addresses of a port, elements of a set, the value."""
    if type(value) is str:
        return (value,)
    if column == "fixed_ips":
        return {f"ip_address={one.get('ip_address')}" for one in value or ()}
    if isinstance(value, list):
        return dict.fromkeys(_key(one) for one in value)
    return (_key(value),)


def _key(value: Any) -> Any:
    """Return what stands for a value in an index: True is not 1 here."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int) or value is None:
        return (type(value), value)
    return (repr, repr(value))
