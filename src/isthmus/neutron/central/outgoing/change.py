"""What a transaction changes, as far as sites care: read off SQLAlchemy's unit of work.

What a change of each kind of row means stands in the rows of the resources (`touched_by`); which
rows of Neutron are of no concern to any site, and why, is in the registry.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.store.tiers.held import Held


@dataclass(slots=True)
class Changes:
    """What one transaction touched."""

    #: Ids of objects that sites have to be told of, gone ones included.
    touched: dict[ResourceType, set[str]] = field(default_factory=dict)
    gone: dict[ResourceType, set[str]] = field(default_factory=dict)
    new: dict[ResourceType, set[str]] = field(default_factory=dict)
    shadowed: set[str] = field(default_factory=set)  #: ports of which what a shadow shows changed
    regrouped: set[str] = field(default_factory=set)  #: ports whose security groups changed
    #: Networks of touched subnets, by subnet; of one of which only a part was seen, they are read.
    networks: dict[str, str] = field(default_factory=dict)
    described: set[tuple[str, int]] = field(default_factory=set)  #: (table, standard attribute)
    tagged: set[int] = field(default_factory=set)  #: standard attributes
    held: Held | None = None  #: the networks, once their row has held them

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    def touch(self, kind: ResourceType, resource_id: str) -> None:
        """Note an object that sites have to be told of."""
        self.touched.setdefault(kind, set()).add(resource_id)

    def get_touched(self, kind: ResourceType) -> set[str]:
        """Return the ids of a type that were touched."""
        return self.touched.get(kind, set())

    def get_gone(self, kind: ResourceType) -> set[str]:
        """Return the ids of a type that are removed."""
        return self.gone.get(kind, set())


@dataclass(frozen=True, slots=True)
class Written:
    """One row that a flush writes."""

    entity: Any
    deleted: bool = False
    new: bool = False

    def changed(self) -> set[str]:
        """Name the attributes that changed."""
        state = sa.inspect(self.entity)
        return {one.key for one in state.attrs if one.history.has_changes()}


#: Notes what it means that a row is written.
Touch = Callable[[Changes, Written], None]


def part_of(kind: ResourceType, column: str = "id") -> Touch:
    """Note the object that a row is, or is part of.

    A part that was made together with its whole may not know it yet: then the whole is new as well,
    and is seen by itself.

    Args:
        kind: the type of the object.
        column: which attribute of the row has its id.
    """

    def touch(changes: Changes, row: Written) -> None:
        resource_id = getattr(row.entity, column)
        if resource_id:
            changes.touch(kind, resource_id)

    return touch
