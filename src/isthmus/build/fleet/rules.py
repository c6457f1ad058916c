"""What a rule of the fleet file sees and says. The rules themselves are in `rule_*`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from isthmus.build.fleet import resolve
from isthmus.build.fleet.document import Document, Path, names_in
from isthmus.build.fleet.form import Salvage, suggest
from isthmus.model.rack.fleet import Fleet, Node, Rack, Site

#: (path in what is left of the file, message)
Finding = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet, and what its file declares however wrong the rest of it is."""

    fleet: Fleet
    document: Document
    salvage: Salvage

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was cut out: what is missing is really missing."""
        return self.salvage.is_whole and not self.document.faults

    @property
    def can_count(self) -> bool:
        """Tell whether machines of a role can be counted: all are there, and no role is a typo."""
        known = {one.name for one in self.fleet.roles}
        return self.is_whole and all(
            known >= set(resolve.roles_of(self.fleet, rack, node))
            for *_, rack, node in self.nodes()
        )

    def line(self, path: Path) -> int:
        """Return the line at which something stands."""
        return self.document.place(self.salvage.original(path)).line

    def names_at(self, path: Path, key: str) -> frozenset[str]:
        """Collect what a list below a path declares."""
        found = self.document.values
        for part in self.salvage.original(path):
            found = found[part]
        return names_in(found, key)

    def names(self, *path: str) -> frozenset[str]:
        """Collect what a list of the file declares."""
        return names_in(self.document.values, *path)

    def nodes(self) -> Iterator[tuple[Path, Site, Rack, Node]]:
        """Return every node with its path."""
        for s, site in enumerate(self.fleet.sites):
            for r, rack in enumerate(site.racks):
                for n, node in enumerate(rack.nodes):
                    yield ("sites", s, "racks", r, "nodes", n), site, rack, node

    def nodes_of(self, index: int) -> Iterator[tuple[Path, Rack, Node]]:
        """Return the nodes of one site with their paths."""
        site = self.fleet.sites[index]
        for r, rack in enumerate(site.racks):
            for n, node in enumerate(rack.nodes):
                yield ("sites", index, "racks", r, "nodes", n), rack, node


Rule = Callable[[Case], Iterable[Finding]]


def refer(path: Path, what: str, name: str | None, known: Iterable[str]) -> Iterator[Finding]:
    """Report a name that refers to nothing.

    Args:
        path: where the name stands in the file.
        what: what it should be the name of, as people call it.
        name: the name; None where there is none to check.
        known: the names that there are.
    """
    words = frozenset(known)
    if name is not None and name not in words:
        yield path, f"there is no {what} {name}{suggest(name, words)}"
