"""The row of a resource: everything that central does with it; engines loop over the registry.

What only one resource needs is not a field here: it is a function, called by name where it is
needed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.lease import PoolKind
from isthmus.model.resource import RESOURCES, Resource, ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api.carried import Attribute
from isthmus.neutron.central.leases import at_site
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.outgoing.change import Changes, Part, Touch
from isthmus.neutron.central.presence import Brought
from isthmus.neutron.db.session import reading, writing
from isthmus.store.tiers.locked import LockedObjects

States = dict[str, dict[str, Any]]


class Bring(Protocol):
    """Maps objects that a site asked for to it, with what they depend on; idempotent."""

    def __call__(
        self, context: Any, site: Site, seen: Sequence[Mapping[str, Any]], project_id: str | None, /
    ) -> Brought:
        """Map the objects.

        Args:
            context: an administrator's.
            site: the site.
            seen: the objects, as the requesting user sees them.
            project_id: that user's project; None where the site asks for itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralResource:
    """What central does with objects of one type."""

    kind: ResourceType
    model: Any  #: Neutron's row of the object itself
    #: Models whose rows are parts of an object, itself included: who writes one changes the object.
    parts: Mapping[Any, Part]
    #: The fate of each attribute of Neutron's API, by collection, parts of the object included.
    attributes: Mapping[str, Mapping[str, Attribute]]
    #: Returns the intents for the changes of a transaction; may map objects to sites as well.
    tell: Callable[[sa.Connection, Changes], set[IntentKey]]
    #: Functions that add what else a row means, by its model; one may be a part as well.
    touched_by: Mapping[Any, Touch] = field(default_factory=dict)
    #: Types whose changes `tell` looks at: it is not called for others. None: it always is.
    tells_of: Collection[ResourceType] | None = None
    rbac: Any = None  #: Neutron's class of rows that say with whom an object is shared
    pool: PoolKind | None = None  #: What sites get leases of with each object
    #: Adds to states what is sent in addition to Neutron's attributes, sharing and numbers.
    add_carried: Callable[[sa.Connection, States, SiteName], None] | None = None
    #: Completes desired states, or leaves out what cannot be created yet.
    complete: Callable[[SiteName, States], States] | None = None
    bring: Bring | None = None  #: None: no site asks for such an object by itself

    @property
    def resource(self) -> Resource:
        """Return what both tiers know of the type."""
        return RESOURCES[self.kind]

    def plugin(self) -> Any:
        """Return the plugin that serves the resource."""
        return directory.get_plugin(self.resource.plugin)

    def list_states(self, ids: Iterable[str]) -> States:
        """List objects as an administrator sees them, by id."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        lister = getattr(self.plugin(), f"get_{self.resource.collection}")
        found = lister(
            n_context.get_admin_context(), filters={"id": wanted}, **self.resource.list_options
        )
        return {row["id"]: dict(row) for row in found}

    def read(self, ids: Iterable[str], site: SiteName) -> States:
        """List objects with everything that is sent to a site, by id."""
        states = self.list_states(ids)
        if not states:
            return states
        with reading(n_context.get_admin_context()) as connection:
            if self.rbac is not None:
                _add_sharing(connection, self.rbac, states)
            if self.pool is not None:
                at_site.add_numbers(connection, self.pool, states, site)
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
    """Return a function that tells the sites to which objects of a type are mapped."""

    def tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
        ids = changes.get_changed(kind)
        locked = LockedObjects(connection, kind, ids)
        return {IntentKey(site, kind, one) for one in ids for site in locked.sites(one)}

    return tell


def bring_mapped(kind: ResourceType) -> Bring:
    """Return a function that maps objects of a type to a site, with what they take along."""

    def bring(
        context: Any, site: Site, seen: Sequence[Mapping[str, Any]], _project_id: str | None
    ) -> Brought:
        ids = {one["id"] for one in seen}
        if ids:
            with writing(context) as connection:
                along.bring(connection, {kind: ids}, [site.name])
        return Brought({kind: ids})

    return bring
