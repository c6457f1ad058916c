"""Reading ports that are not here: central's answer is shown, and nothing is created from it.

A port moves its home to the site that binds or changes it, never by a GET: a list in a monitoring
script must not move a port away from where a server is about to use it. Neutron reads a port before
an update or delete too, for its policy check; that is a read as well, and the home moves once the
policy has allowed the change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neutron_lib.db import utils as db_utils
from pecan import core

from isthmus.model import attribute
from isthmus.model.resource import Resource

_CHANGES = frozenset({"PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Search:
    """A list of what has a certain name, as a client asks for it that was given no id."""

    path: str
    query: tuple[tuple[str, str], ...]

    @property
    def names(self) -> list[str]:
        """Return the names."""
        return [value for key, value in self.query if key == "name"]


def is_read() -> bool:
    """Return whether this thread serves a request that only reads."""
    request = _request()
    return request is not None and request.method in ("GET", "HEAD")


def is_read_or_change_of(port_id: str) -> bool:
    """Return whether this thread serves a read, or an update or delete of this very port.

    What any other request does (a trunk on a port, for instance) needs the port here.
    """
    return is_read() or is_change_of(port_id)


def is_change_of(port_id: str) -> bool:
    """Return whether this thread serves an update or delete of this very port."""
    request = _request()
    return (
        request is not None
        and request.method in _CHANGES
        and request.context.get("resource") == "port"
        and request.context.get("resource_id") == port_id
    )


def find_search(
    resource: Resource, filters: Mapping[str, Sequence[Any]] | None, marker: Any = None
) -> Search | None:
    """Return what a list searches for by name; None where it does no such thing.

    Neutron serves some resources outside pecan; a list by name is then always somebody's search.

    Args:
        resource: what is listed.
        filters: of the list.
        marker: after which object the list begins, which this site then has: no search.
    """
    if not filters or not filters.get("name") or marker is not None:
        return None
    request = _request()
    if request is not None and not (
        request.method == "GET"
        and request.context.get("collection") == resource.collection
        and "resource_id" not in request.context
    ):
        return None
    query = tuple((key, str(value)) for key, values in filters.items() for value in values)
    return Search(resource.path, query)


def show(state: Mapping[str, Any], fields: Sequence[str] | None) -> dict[str, Any]:
    """Return a port as central shows it, with the requested fields."""
    own = {name: value for name, value in state.items() if not name.startswith(attribute.PREFIX)}
    shown: dict[str, Any] = db_utils.resource_fields(own, fields)
    return shown


def choose(
    states: Iterable[Mapping[str, Any]], filters: Mapping[str, Sequence[Any]]
) -> list[Mapping[str, Any]]:
    """Return the ports that match filters of plain values."""
    return [
        state
        for state in states
        if all(
            not values or (name in state and state[name] in values)
            for name, values in filters.items()
        )
    ]


def _request() -> Any | None:
    return getattr(getattr(core, "state", None), "request", None)
