"""What was seen: rows as each source has them, with the time, and what was not seen, and why."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


class Source(enum.StrEnum):
    """Who was asked."""

    CENTRAL = "central"  #: its Neutron, and what Isthmus keeps there
    NEUTRON = "Neutron"  #: of a site
    NB = "OVN northbound"
    SB = "OVN southbound"
    HOST = "hypervisor"


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of one source at one place, by table."""

    tables: Mapping[str, Sequence[Row]]
    at: str = ""  #: when they were read, as ISO 8601 in UTC


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be read."""

    source: Source
    place: str
    reason: str


class TableNotSeenError(Exception):
    """A check asks for what was not read: its answer is "not seen"."""


@dataclass(frozen=True, slots=True)
class World:
    """All that was seen for one question."""

    seen: Mapping[tuple[Source, str], Seen] = field(default_factory=dict)
    unseen: tuple[Unseen, ...] = ()

    def has(self, source: Source, place: str) -> bool:
        """Tell whether a source was read."""
        return (source, place) in self.seen

    def rows(self, source: Source, place: str, table: str) -> Sequence[Row]:
        """Return the rows of a table; none where the source was not read.

        Raises:
            TableNotSeenError: the source was read, and not this table of it.
        """
        found = self.seen.get((source, place))
        if found is not None and table not in found.tables:
            raise TableNotSeenError(f"{source.value} {place}: {table} was not read")
        return found.tables[table] if found else ()

    def has_table(self, source: Source, place: str, table: str) -> bool:
        """Tell whether a table was read; a source may give a part of its tables."""
        found = self.seen.get((source, place))
        return found is not None and table in found.tables

    def find(self, source: Source, place: str, table: str, **wanted: Any) -> Row | None:
        """Find the first row that has certain values; None where there is none."""
        return next(self.list(source, place, table, **wanted), None)

    def list(self, source: Source, place: str, table: str, **wanted: Any) -> Iterator[Row]:
        """List the rows that have certain values."""
        for row in self.rows(source, place, table):
            if all(row.get(key) == value for key, value in wanted.items()):
                yield row

    def at(self, source: Source, place: str) -> str:
        """Return when a source was read."""
        found = self.seen.get((source, place))
        return found.at if found else ""

    def why_not(self, source: Source, place: str) -> str:
        """Return why a source was not read."""
        for one in self.unseen:
            if (one.source, one.place) == (source, place):
                return one.reason
        return "nobody asked it"
