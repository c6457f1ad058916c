"""What a transaction changes for sites, read from SQLAlchemy's unit of work.

The meaning of each changed row is in the rows of the resources (`parts`, `touched_by`); which rows
of Neutron concern no site, and why, is in the registry.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.store.tiers.locked import LockedObjects


@dataclass(slots=True)
class Changes:
    """What one transaction touched."""

    #: Ids of objects that sites have to be told of, including deleted ones.
    touched: dict[ResourceType, set[str]] = field(default_factory=dict)
    gone: dict[ResourceType, set[str]] = field(default_factory=dict)
    new: dict[ResourceType, set[str]] = field(default_factory=dict)
    shadowed: set[str] = field(default_factory=set)  #: ports whose shadows change
    needy: set[str] = field(default_factory=set)  #: objects that may need something else (`along`)
    joined: set[str] = field(default_factory=set)  #: routers of which an interface came or went
    asked: set[str] = field(default_factory=set)  #: routers that got a gateway, interface or route
    met: set[str] = field(default_factory=set)  #: routers that got an interface
    gated: set[str] = field(default_factory=set)  #: ports of new gateways
    #: (router, network) of gateways and interfaces that go
    left: set[tuple[str, str]] = field(default_factory=set)
    floated: set[str] = field(default_factory=set)  #: floating IPs that were associated
    grown: set[str] = field(default_factory=set)  #: trunks that are new, or got a subport
    limited: set[str] = field(default_factory=set)  #: floating IPs that got or lost a QoS policy
    forwarding: set[str] = field(default_factory=set)  #: floating IPs whose forwardings changed
    forwarded: set[str] = field(default_factory=set)  #: forwardings that are new, or others now
    #: Networks of touched subnets, by subnet; looked up where only a part of a subnet was touched.
    networks: dict[str, str] = field(default_factory=dict)
    described: set[tuple[str, int]] = field(default_factory=set)  #: (table, standard attribute)
    tagged: set[int] = field(default_factory=set)  #: standard attributes
    locked: LockedObjects | None = None  #: the networks, once their row has locked them

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    def touch(self, kind: ResourceType, resource_id: str) -> None:
        """Add an object that sites have to be told of."""
        self.touched.setdefault(kind, set()).add(resource_id)

    def concern(self, kinds: Iterable[ResourceType]) -> bool:
        """Return whether sites may have to be told of objects of any of these types."""
        return any(map(self._concerns, kinds))

    def _concerns(self, kind: ResourceType) -> bool:
        if kind is ResourceType.PORT:
            return bool(self.get_touched(kind) or self.get_gone(kind) or self.shadowed)
        if kind is ResourceType.TRUNK and self.grown:
            return True  # a new one goes where its parent is
        if kind is ResourceType.ROUTER and (self.forwarding or self.limited):
            return True  # of floating IPs whose routers are looked up before the commit
        return bool(self.get_changed(kind))

    def get_touched(self, kind: ResourceType) -> set[str]:
        """Return the ids of a type that were touched."""
        return self.touched.get(kind, set())

    def get_changed(self, kind: ResourceType) -> set[str]:
        """Return the ids of a type that were touched and are not new: a new one is at no site."""
        return self.get_touched(kind) - self.new.get(kind, set())

    def get_gone(self, kind: ResourceType) -> set[str]:
        """Return the ids of a type that are deleted."""
        return self.gone.get(kind, set())


@dataclass(frozen=True, slots=True)
class Written:
    """One row that a flush writes."""

    entity: Any
    deleted: bool = False
    new: bool = False

    def changed(self) -> set[str]:
        """Return the attributes that changed."""
        state = sa.inspect(self.entity)
        return {one.key for one in state.attrs if one.history.has_changes()}


#: Adds to the changes what a written row means.
Touch = Callable[[Changes, Written], None]


@dataclass(frozen=True, slots=True)
class Part:
    """How the rows of a model are parts of objects: who writes one changes its object."""

    column: str = "id"  #: attribute of the row with the object's id; "id": the object's own row
    names: bool = False  #: whether the row names what the object takes along to sites (`along`)
