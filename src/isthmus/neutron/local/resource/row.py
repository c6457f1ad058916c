"""The row of a resource: everything that a site does with it; engines loop over the registry.

What only one resource needs is not a field here: it is a function, called by name where it is
needed.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.model.resource import RESOURCES, Resource, ResourceType

#: Ids of the objects that a call would change, from the caller's context and the arguments by name.
FindOwners = Callable[[Any, Mapping[str, Any]], Collection[str]]
States = dict[str, dict[str, Any]]


class Ensure(Protocol):
    """Creates an object, or updates it to what central has; idempotent."""

    def __call__(
        self, plugin: Any, context: Any, state: Mapping[str, Any], /, *, keep_existing: bool
    ) -> Mapping[str, errors.IsthmusError] | None:
        """Create or update an object.

        Args:
            plugin: the plugin that serves the resource.
            context: an administrator's, with no transaction open.
            state: the object as central's API shows it, with what is sent in addition
                (`isthmus:...`).
            keep_existing: whether to leave an object of central's unchanged that exists already.

        Returns:
            The attributes that this site refuses, and why, where all others were applied.

        Raises:
            Stale: something that it depends on is not here yet.
            Conflict: an object of that id exists here and is not central's.
        """


class Remove(Protocol):
    """Removes an object, if it exists; idempotent."""

    def __call__(self, plugin: Any, context: Any, resource_id: str, /) -> None:
        """Remove an object.

        Raises:
            InUse: something of this site still needs it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResource:
    """What a site does with objects of one type."""

    kind: ResourceType
    model: Any  #: Neutron's row of the object itself
    #: Models whose rows are part of an object, itself included, and which column has its id.
    parts: Mapping[Any, str]
    carried: tuple[str, ...]  #: what is compared: both tiers are to have it alike
    not_found: type[Exception]  #: how Neutron's `get_` says that there is none
    ensure: Ensure
    remove: Remove
    #: Calls of any plugin that change objects of this type, which are central's to change.
    guarded: Mapping[str, FindOwners] = field(default_factory=dict)
    rbac: Any = None  #: Neutron's class of RBAC rows for the resource
    #: Filters of a list that name objects, which are fetched too, and the type of each.
    named_by: Mapping[str, ResourceType] = field(default_factory=dict)
    #: Adds to states what is sent in addition to Neutron's attributes, except sharing.
    add_carried: Callable[[sa.Connection, States], None] | None = None

    @property
    def resource(self) -> Resource:
        """Return what both tiers know of the type."""
        return RESOURCES[self.kind]

    def plugin(self) -> Any:
        """Return the plugin that serves the resource."""
        return directory.get_plugin(self.resource.plugin)

    def find(self, plugin: Any, context: Any, resource_id: str) -> dict[str, Any] | None:
        """Return an object of this site, or None.

        Args:
            plugin: the plugin that serves the resource.
            context: of the caller.
            resource_id: id of the object.
        """
        try:
            found: dict[str, Any] = getattr(plugin, f"get_{self.resource.member}")(
                context, resource_id
            )
        except self.not_found:
            return None
        return found


def by_id(name: str = "id") -> FindOwners:
    """Return a function that finds the owner in the argument that has its id."""
    return lambda _context, said: [said[name]]


def in_body(member: str, attribute: str) -> FindOwners:
    """Return a function that finds the owner in a request body, `{member: {attribute: id}}`."""
    return lambda _context, said: {said[member][member][attribute]}


def in_bodies(collection: str, member: str, attribute: str) -> FindOwners:
    """Return a function that finds the owners in the body of a bulk request."""
    return lambda _context, said: {one[member][attribute] for one in said[collection][collection]}
