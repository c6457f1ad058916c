"""Names in the place of ids in lists: of what a job, a finding, a lease or a presence is about."""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus import errors
from isthmus.cli.render import Row
from isthmus.model.form import is_id
from isthmus.model.resource import RESOURCES, ResourceType

if TYPE_CHECKING:
    from isthmus.clients.http.admin import AdminApi

Resources = Annotated[
    list[str] | None,
    typer.Option("--resource", help="Only of the objects with this id or name."),
]
Long = Annotated[bool, typer.Option("--long", help="Ids beside names.")]

#: What Neutron calls the types; of others there is no name, or none that is found by id.
_CALLED = {
    **{kind.value: kind.value for kind, row in RESOURCES.items() if row.member == kind},
    ResourceType.SHADOW.value: ResourceType.PORT.value,
}
#: Of so many objects of a type names are looked up; a list that is longer shows ids for the rest.
_MOST = 500


#: The name stands under it where a row may be about anything.
RESOURCE = "resource_name"


def find_resources(api: "AdminApi", filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters with the ids of what is meant by names; a name may be that of several.

    Raises:
        NotFound: nothing has that name.
    """
    ids: list[str] = []
    for word in filters.get("resource_id") or ():
        found = [word] if is_id(word) else _find_named(api, word)
        if not found:
            raise errors.NotFound(
                f"nothing is called {word!r} at central: what is gone has an id alone"
            )
        ids += found
    return {**filters, "resource_id": ids} if ids else dict(filters)


def _find_named(api: "AdminApi", name: str) -> list[str]:
    return [
        one for called in dict.fromkeys(_CALLED.values()) for one in api.find_named(called, name)
    ]


def _get_type(row: Row) -> str:
    return str(row["type"])


def add_names(
    api: "AdminApi",
    rows: Sequence[Row],
    *,
    id_key: str,
    name_key: str = RESOURCE,
    get_type: Callable[[Row], str] = _get_type,
) -> list[dict[str, Any]]:
    """Return rows with the name of what each is about; empty where it has none.

    A tier that does not answer, or shows none, leaves the ids; the list is complete without.

    Args:
        api: central.
        rows: of a list.
        id_key: the key of the id.
        name_key: the key under which the name is put.
        get_type: says of a row what of Neutron the id is of.
    """
    wanted: dict[str, dict[str, None]] = {}
    for row in rows:
        called = _CALLED.get(get_type(row))
        if called is not None and len(wanted.setdefault(called, {})) < _MOST:
            wanted[called][str(row[id_key])] = None
    names: dict[str, str] = {}
    for called, ids in wanted.items():
        with contextlib.suppress(errors.IsthmusError):
            names |= api.name_some(called, list(ids))
    return [{**row, name_key: names.get(str(row[id_key]), "")} for row in rows]


def choose_columns(
    columns: Sequence[str], *, id_key: str, long: bool, name_key: str = RESOURCE
) -> list[str]:
    """Put the ids beside the names, where they are wanted."""
    at = columns.index(name_key) + 1
    return [*columns[:at], *([id_key] if long else []), *columns[at:]]


def show_named(
    rows: Sequence[Row], *, id_key: str, name_key: str = RESOURCE
) -> dict[str, Callable[[Row], str]]:
    """Return how a table shows names: the id where there is no name, or several with it.

    Args:
        rows: all of the table.
        id_key: the key of the id.
        name_key: the key of the name.
    """
    pairs = {(row.get("type"), row[name_key], row[id_key]) for row in rows}
    times = Counter((kind, name) for kind, name, _ in pairs)

    def show(row: Row) -> str:
        name = str(row[name_key] or "")
        return name if name and times[row.get("type"), name] == 1 else str(row[id_key])

    return {name_key: show}
