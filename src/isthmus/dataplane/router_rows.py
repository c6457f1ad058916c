"""Rows of ours that hang on routers of Neutron's: routes, policies, translations.

Such a row has no name, so nothing in OVN keeps two processes from writing the same one. What a
router refers to is therefore verified in the transaction that adds to it: of two at once, one is
done again, and finds the other's row. A row that is there twice all the same is written once more,
which leaves one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Change
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import EXITS_MARK, ROUTER_PREFIX


class _OfRouter(Protocol):
    """A row that hangs on a router; its order is that in which rows are written."""

    @property
    def router_id(self) -> str: ...

    def __lt__(self, other: Any, /) -> bool: ...


_R = TypeVar("_R", bound=_OfRouter)


def diff_own(
    desired: Collection[_R],
    there: Mapping[_R, bool],
    routers: Collection[str],
    put: Callable[[_R], Change],
    remove: Callable[[_R], Change],
) -> Iterator[Change]:
    """Compare rows of ours, of which each is a whole: it is there as it should be, or is not.

    Args:
        desired: what should be there.
        there: what is there, and whether it is so once, and as it should be.
        routers: ids of the routers that are there; rows of others wait for them.
        put: makes the change that writes a row.
        remove: makes the change that removes one.
    """
    wanted = {one for one in desired if one.router_id in routers}
    yield from (put(one) for one in sorted(wanted) if not there.get(one, False))
    yield from (remove(one) for one in sorted(there) if one not in wanted)


def list_own(rows: OvnRows, scope: Scope, table: str, column: str) -> list[Any]:
    """List the rows of ours in scope.

    Args:
        rows: the databases.
        scope: what is looked at.
        table: of the rows.
        column: of `Logical_Router`, which refers to them.
    """
    ids = scope.ids(ROUTERS)
    if ids is None:
        return [row for row in rows.nb.rows(table) if EXITS_MARK in row.external_ids]
    found: list[Any] = []
    for router_id in sorted(ids):
        router = rows.nb.find("Logical_Router", ROUTER_PREFIX + router_id)
        if router is not None:
            with rows.nb.lock:
                found += _own(getattr(router, column))
    return found


def find_own(tables: Tables, router_id: str, column: str) -> tuple[Any, list[Any]] | None:
    """Find a router and the rows of ours on it, within a transaction; None where it is gone."""
    router = tables.find("Logical_Router", ROUTER_PREFIX + router_id)
    if router is None:
        return None
    router.verify(column)
    return router, list(_own(getattr(router, column)))


def only(tables: Tables, router: Any, table: str, column: str, rows: Sequence[Any]) -> Any:
    """Return the one of equal rows that stays; insert it where there is none, remove the others.

    Args:
        tables: those of the transaction that writes.
        router: the router's row, which has been verified.
        table: of the rows.
        column: of `Logical_Router`, which refers to them.
        rows: the equal ones that are there.
    """
    for row in rows[1:]:
        router.delvalue(column, row)
        row.delete()
    if rows:
        return rows[0]
    row = tables.insert(table)
    router.addvalue(column, row)
    return row


def remove_own(tables: Tables, router_id: str, column: str, is_it: Callable[[Any], bool]) -> None:
    """Remove the rows of ours on a router of which that holds.

    Args:
        tables: those of the transaction that writes.
        router_id: id of the router in Neutron.
        column: of `Logical_Router`, which refers to the rows.
        is_it: whether a row is to go.
    """
    found = find_own(tables, router_id, column)
    if found is None:
        return
    router, rows = found
    for row in rows:
        if is_it(row):
            router.delvalue(column, row)
            row.delete()


def _own(rows: Sequence[Any]) -> Iterator[Any]:
    return (row for row in rows if EXITS_MARK in row.external_ids)
