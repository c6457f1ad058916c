"""What to look at: everything, or what a few changes touch. Pure.

Subjects are named by words, and a kind may bring a word of its own: what `Reconciler.wake` is given
as `routers=[...]` is what `scope.ids("routers")` gives the kinds that ask for it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from isthmus.dataplane.protocols import Source

PORTS: Final = "ports"  #: shadows that came, changed or went
NETWORKS: Final = "networks"  #: whose subnets or routers changed
SWITCHES: Final = "switches"  #: networks whose switch is looked at (not the ports on it)
GROUPS: Final = "groups"  #: port groups in which memberships are looked for
CHASSIS: Final = "chassis"  #: hypervisors
ROUTERS: Final = "routers"  #: whose exits changed
NEW_SWITCHES: Final = "new switches"  #: networks whose switch was just made
NEW_GROUPS: Final = "new groups"  #: port groups just made


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the databases; what is named need not exist."""

    subjects: Mapping[str, frozenset[str]]
    all_of: frozenset[str] = frozenset()  #: subjects that are looked at whole
    whole: bool = False  #: all subjects are, but for those that are named

    @classmethod
    def everything(cls, networks: Iterable[str]) -> "Scope":
        """Look at everything of ours, and at these networks' switches with all their ports."""
        return cls({SWITCHES: frozenset(networks)}, whole=True)

    def ids(self, subject: str) -> frozenset[str] | None:
        """Return what of a subject is in scope; None means all there is."""
        if subject in self.subjects and subject not in self.all_of:
            return self.subjects[subject]
        return None if self.whole or subject in self.all_of else frozenset()


@dataclass(slots=True)
class Dirty:
    """What has to be looked at, as it gathers."""

    everything: bool = False
    subjects: dict[str, set[str]] = field(default_factory=dict)
    all_of: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Tell whether there is anything to look at."""
        return self.everything or bool(self.all_of) or any(self.subjects.values())

    def add(self, subject: str, ids: Collection[str] | bool) -> None:
        """Add what changed of a subject; True means all there is, False nothing."""
        if ids is True:
            self.all_of.add(subject)
        elif ids is not False:
            self.subjects.setdefault(subject, set()).update(ids)

    def ids(self, subject: str) -> set[str]:
        """Return what was named of a subject."""
        return self.subjects.get(subject, set())


def expand(dirty: Dirty, source: Source) -> None:
    """Add the shadows and responders that new switches and port groups concern."""
    new = dirty.ids(NEW_SWITCHES)
    if new:
        dirty.add(PORTS, {one.port_id for one in source.shadows_on(new)})
        dirty.add(NETWORKS, new)
    if dirty.ids(NEW_GROUPS):
        dirty.add(PORTS, source.list_members(dirty.ids(NEW_GROUPS)))


def choose_scope(dirty: Dirty, source: Source) -> Scope:
    """Return the rows that have to be looked at when these ports (and so on) changed."""
    shadows = source.shadows(dirty.ids(PORTS))
    named = {source.name_group(group) for one in shadows for group in one.security_groups}
    around = {
        SWITCHES: {one.network_id for one in shadows} | dirty.ids(NETWORKS),
        GROUPS: named | dirty.ids(GROUPS),
        CHASSIS: {one.chassis for one in shadows} | dirty.ids(CHASSIS),
    }
    subjects = {**dirty.subjects, **around}
    return Scope(
        {subject: frozenset(ids) for subject, ids in subjects.items()}, frozenset(dirty.all_of)
    )
