"""Looking at ports that are not here: central's answer is shown, and nothing is made of it.

A port comes home to the site that binds or changes it, never by a GET: a list in a monitoring
script must not take a port away from where a server is about to use it. Neutron fetches a port
before it changes or deletes it, too, in order to ask the policy; that is a look as well, and the
port comes home once the policy has allowed the change.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neutron_lib.db import utils as db_utils
from pecan import core

from isthmus.model import attribute

_CHANGES = frozenset({"PUT", "DELETE"})


def is_read() -> bool:
    """Tell whether this thread serves a request that only reads."""
    request = _request()
    return request is not None and request.method in ("GET", "HEAD")


def is_read_or_change_of(port_id: str) -> bool:
    """Tell whether this thread serves a request that reads, or is about to change this very port.

    What is done in the course of any other request (a trunk on a port, say) needs the port here.
    """
    return is_read() or is_change_of(port_id)


def is_change_of(port_id: str) -> bool:
    """Tell whether this thread serves a request to change or delete this very port."""
    request = _request()
    return (
        request is not None
        and request.method in _CHANGES
        and request.context.get("resource") == "port"
        and request.context.get("resource_id") == port_id
    )


def show(state: Mapping[str, Any], fields: Sequence[str] | None) -> dict[str, Any]:
    """Give a port as central shows it, with the fields that were asked for."""
    own = {name: value for name, value in state.items() if not name.startswith(attribute.PREFIX)}
    shown: dict[str, Any] = db_utils.resource_fields(own, fields)
    return shown


def choose(
    states: Iterable[Mapping[str, Any]], filters: Mapping[str, Sequence[Any]]
) -> list[Mapping[str, Any]]:
    """Choose the ports that filters let through: those that ask for plain values."""
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
