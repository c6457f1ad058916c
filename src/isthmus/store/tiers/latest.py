"""Rows as currently committed, which cannot change before this transaction ends.

On MariaDB's REPEATABLE READ a plain read shows what was committed when the transaction first read
anything, however long it then waited for a lock; on READ COMMITTED what it shows may have changed
by the next statement. Decisions inside a transaction must rest on locking reads. A `Latest` can
only be created by one, so a function that takes it cannot be given anything else.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import sqlalchemy as sa
from typing_extensions import override

_T = TypeVar("_T")
_PROOF = object()


class Latest(Sequence[_T], Generic[_T]):
    """Rows of a locking read."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[_T], proof: object) -> None:
        """Refuse to be created by anybody but `read`."""
        assert proof is _PROOF, "only a locking read gives what is latest"
        self._rows = tuple(rows)

    @classmethod
    def read(
        cls,
        connection: sa.Connection,
        query: "sa.Select[Any]",
        parse: Callable[[Any], _T],
        *,
        write: bool,
    ) -> "Latest[_T]":
        """Run a query as a locking read.

        Args:
            connection: of the transaction.
            query: the query.
            parse: converts a row into a value.
            write: lock exclusively, because the rows are to be changed.
        """
        rows = connection.execute(query.with_for_update(read=not write)).all()
        return cls([parse(row) for row in rows], _PROOF)

    @overload
    def __getitem__(self, index: int) -> _T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[_T]: ...

    @override
    def __getitem__(self, index: int | slice) -> _T | Sequence[_T]:
        return self._rows[index]

    @override
    def __len__(self) -> int:
        return len(self._rows)

    @override
    def __iter__(self) -> Iterator[_T]:
        return iter(self._rows)
