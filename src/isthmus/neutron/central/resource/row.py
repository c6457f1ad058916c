"""The row of a resource: all that central does with it, for engines that loop over the registry.

What only one resource needs is no field here: it is a function, called by name where it is needed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import RESOURCES, Resource, ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api.carried import Attribute
from isthmus.neutron.central.outgoing.change import Changes, Touch
from isthmus.neutron.central.presence import Brought
from isthmus.neutron.db.session import reading
from isthmus.store.tiers.held import Held

Ids = Mapping[ResourceType, Collection[str]]
States = dict[str, dict[str, Any]]


class Bring(Protocol):
    """Maps objects that a site asked for to it, with what they stand on; idempotent."""

    def __call__(
        self, context: Any, site: Site, seen: Sequence[Mapping[str, Any]], project_id: str | None, /
    ) -> Brought:
        """Act.

        Args:
            context: an administrator's.
            site: where to.
            seen: the objects, as the person who asks sees them.
            project_id: that person's project; None where the site asks for itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralResource:
    """What central does with objects of one type."""

    kind: ResourceType
    model: Any  #: Neutron's row of the object itself
    #: Rows of a unit of work that mean that an object changed: of which type, and what is noted.
    touched_by: Mapping[Any, Touch]
    #: What becomes of each attribute of Neutron's API, by collection: of its parts' as well.
    attributes: Mapping[str, Mapping[str, Attribute]]
    #: Which sites are told of the changes of a transaction, which it may map objects to as well.
    tell: Callable[[sa.Connection, Changes], set[IntentKey]]
    rbac: Any = None  #: Neutron's class of rows that say with whom an object is shared
    #: Adds to states what travels beside and Neutron does not show; sharing excepted.
    add_carried: Callable[[sa.Connection, States, SiteName], None] | None = None
    #: The last step of a desired state: makes good what a site lacks, leaves out what is too early.
    settle: Callable[[SiteName, States], States] | None = None
    bring: Bring | None = None  #: None: no site asks for such an object by itself
    #: What an object needs at a site beside itself; one step, the engine follows.
    takes_along: Callable[[sa.Connection, Collection[str]], Ids] | None = None

    @property
    def resource(self) -> Resource:
        """Return what both tiers know of the type."""
        return RESOURCES[self.kind]

    def plugin(self) -> Any:
        """Return the plugin that serves the resource."""
        return directory.get_plugin(self.resource.plugin)

    def list_states(self, ids: Iterable[str]) -> States:
        """Read objects as an administrator sees them, by id."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        lister = getattr(self.plugin(), f"get_{self.resource.collection}")
        found = lister(
            n_context.get_admin_context(), filters={"id": wanted}, **self.resource.list_options
        )
        return {row["id"]: dict(row) for row in found}

    def read(self, ids: Iterable[str], site: SiteName) -> States:
        """Read objects with all that travels to a site, by id."""
        states = self.list_states(ids)
        if not states:
            return states
        with reading(n_context.get_admin_context()) as connection:
            if self.rbac is not None:
                _add_sharing(connection, self.rbac, states)
            if self.add_carried is not None:
                self.add_carried(connection, states, site)
        return states


def _add_sharing(connection: sa.Connection, rbac: Any, states: States) -> None:
    for state in states.values():
        state[attribute.RBAC] = []
    names = ("id", "project_id", "target_project", "action")
    query = sa.select(rbac.object_id, *(getattr(rbac, name) for name in names))
    query = query.where(rbac.object_id.in_(sorted(states))).order_by(rbac.id)
    for row in connection.execute(query):
        entry = {name: getattr(row, name) for name in names}
        states[row.object_id][attribute.RBAC].append(entry)


def tell_mapped(kind: ResourceType) -> Callable[[sa.Connection, Changes], set[IntentKey]]:
    """Tell the sites that objects of a type are mapped to."""

    def tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
        ids = changes.touched.get(kind)
        if not ids:
            return set()
        held = Held(connection, kind, ids)
        return {IntentKey(site, kind, one) for one in ids for site in held.sites(one)}

    return tell
