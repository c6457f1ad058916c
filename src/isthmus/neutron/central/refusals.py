"""What central refuses: attributes that no site realises, and what only a port's home may change.

The rows of the resources say which attributes those are.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from neutron.plugins.ml2 import plugin as ml2
from neutron_lib.api.definitions import portbindings

from isthmus import errors
from isthmus.journal import crash
from isthmus.model.resource import ResourceType
from isthmus.neutron.api import carried
from isthmus.neutron.api.faults import translated
from isthmus.neutron.api.inherited import find_inherited
from isthmus.neutron.central import reporting
from isthmus.neutron.central.resource.port import HOME_ONLY
from isthmus.neutron.central.resource.registry import ATTRIBUTES, ROWS
from isthmus.neutron.central.resource.row import CentralResource
from isthmus.neutron.db import interfaces
from isthmus.neutron.db.session import reading
from isthmus.store.tiers.locked import LockedObjects

_Plugin = TypeVar("_Plugin", bound=type)

#: Attributes of a port that follow from where it is bound; nobody sets them.
_FOLLOWS = (portbindings.VIF_TYPE, portbindings.VIF_DETAILS)


def refusing(plugin: _Plugin) -> _Plugin:
    """Make a plugin refuse attributes that no site realises, of any resource: a class decorator.

    A method that the class defines itself is not wrapped: it checks by itself.
    """
    for row in ROWS.values():
        collection, member = row.resource.collection, row.resource.member
        fates = ATTRIBUTES[collection].values()
        if all(one.fate is not carried.Fate.REFUSED for one in fates):
            continue
        for name, outer in (
            (f"create_{member}", member),
            (f"create_{member}_bulk", collection),
            (f"update_{member}", member),
        ):
            if hasattr(plugin, name) and name not in vars(plugin):
                setattr(plugin, name, _refuse(find_inherited(plugin, name), row, outer))
    return plugin


def _refuse(native: Any, row: CentralResource, outer: str) -> Callable[..., Any]:
    """Wrap a method that creates or changes objects; `outer` is the argument with their bodies."""
    signature = inspect.signature(native)
    collection, member = row.resource.collection, row.resource.member

    @functools.wraps(native)
    def call(self: Any, context: Any, *arguments: Any, **options: Any) -> Any:
        said = signature.bind(self, context, *arguments, **options).arguments
        find = None
        if "id" in said:
            find = functools.partial(getattr(self, f"get_{member}"), context, said["id"])
        bodies = said[outer][outer]
        for body in [bodies] if outer == member else [one[member] for one in bodies]:
            check(collection, body, find)
        return native(self, context, *arguments, **options)

    return call


@refusing
class Refusals(ml2.Ml2Plugin):
    """ML2 that refuses attributes which are not carried to sites."""

    def update_port(self, context: Any, id: str, port: Any) -> Any:
        """Update a port; refuse attributes that no site realises or that only its home may set."""
        body = port["port"]
        if interfaces.is_said_again(context, id, body):
            return self.get_port(context, id)
        check("ports", body, lambda: self.get_port(context, id))
        if reporting.current() is None and not body.keys().isdisjoint(HOME_ONLY):
            have = self.get_port(context, id)
            with reading(context) as connection:
                refuse_homes_word(connection, have, body)
            crash.point("central.change.asked")
        return super().update_port(context, id, port)


def refuse_homes_word(
    connection: sa.Connection, have: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Refuse a change of what only a port's home may set, unless its report is being applied.

    The mechanism driver asks in the transaction of the change: the port may have come home since
    it was asked at first.

    Args:
        connection: of the transaction.
        have: the port.
        new: the new values of some attributes, or of all.

    Raises:
        Fault: a site is the port's home (409).
    """
    differing = [
        name
        for name in HOME_ONLY
        if name not in _FOLLOWS
        and name in new
        and name in have
        and (new[name] or None) != (have[name] or None)
    ]
    if reporting.current() is not None or not differing:
        return
    port = LockedObjects(connection, ResourceType.PORT, [have["id"]])
    for home in port.sites(have["id"]):
        with translated():
            raise errors.Conflict(
                f"port {have['id']} has its home at site {home}, which alone sets its "
                f"{', '.join(differing)}: change it there",
                site=home,
            )


def check(
    collection: str, body: Mapping[str, Any], find: Callable[[], Mapping[str, Any]] | None = None
) -> None:
    """Refuse attributes that are not carried to sites; a value that stays the same is accepted.

    Args:
        collection: the plural, as in Neutron's attribute map.
        body: what a create or an update sets.
        find: returns the existing object; None for a create.
    """
    if reporting.current() is not None:
        return
    fates = ATTRIBUTES[collection]
    try:
        carried.check(collection, fates, body)
    except errors.Invalid:
        have = find() if find is not None else {}
        with translated():
            carried.check(
                collection,
                fates,
                {name: value for name, value in body.items() if have.get(name) != value},
            )
