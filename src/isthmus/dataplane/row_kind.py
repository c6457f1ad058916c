"""What a kind of rows is, and the change of one row."""

import abc
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from typing_extensions import override

from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Scope
from isthmus.model.dataplane.ovn import Capability

_D = TypeVar("_D")
_O = TypeVar("_O")
_T = TypeVar("_T")
_D_co = TypeVar("_D_co", covariant=True)
_O_co = TypeVar("_O_co", covariant=True)
#: Parts of a site's holdings: JSON-able rows by the part's name.
Parts = Mapping[str, Sequence[Mapping[str, Any]]]


class Phase(enum.IntEnum):
    """When a change is written, and so into which database."""

    BEFORE = 0  #: southbound: what northbound rows refer to
    REMOVE = 1  #: northbound: the kinds in reverse, so that what refers goes first
    PUT = 2  #: northbound
    AFTER = 3  #: southbound, in reverse: what northd has to have seen, what nothing refers to now


class Change(abc.ABC):
    """A named change of one row and what hangs on it: a command for a database, and a drift.

    Subclasses are frozen dataclasses. `write` runs within a transaction, is idempotent, and leaves
    alone what is not ours or is gone since it was read: the next comparison decides.
    """

    __slots__ = ()
    phase: ClassVar[Phase]
    code: ClassVar[str]  #: of the drift that the change mends; dotted and stable
    what: ClassVar[str]  #: the same in words
    about: ClassVar[str] = ""  #: subject of the scope by whose id a wake names what the row is of
    is_own: ClassVar[bool] = False  #: whether the row rests on nothing that other sites report

    @property
    @abc.abstractmethod
    def subject(self) -> str:
        """Return which row it is, as a person looks for it."""

    @property
    def of(self) -> str:
        """Return the id, of those that it is `about`."""
        return self.subject

    @abc.abstractmethod
    def write(self, tables: Tables) -> None:
        """Change the row."""

    def adds(self, standing: "Standing") -> bool:
        """Tell whether it changes and contradicts nothing that stands.

        Only such changes are made while the site's tables may be older than its rows.
        """
        del standing
        return False

    @override
    @abc.abstractmethod
    def __str__(self) -> str:
        """Describe what is changed, with the values, as in an error."""


@dataclass(frozen=True, slots=True)
class Desired:
    """What a site's OVN should hold, or the part of it in scope: one value a kind."""

    parts: Mapping[str, Any]

    def of(self, kind: "Kind[_D, Any]") -> _D:
        """Return what is desired of a kind."""
        return cast(_D, self.parts[kind.name])


@dataclass(frozen=True, slots=True)
class Observed:
    """What the databases of one site hold, or the part of it in scope: one value a kind."""

    parts: Mapping[str, Any]

    def of(self, kind: "Kind[Any, _O]") -> _O:
        """Return what was read for a kind."""
        return cast(_O, self.parts[kind.name])


class Standing:
    """What stands when changes are weighed, and what kinds look up in it, built once."""

    def __init__(self, observed: Observed) -> None:
        """Weigh changes against what was observed."""
        self._observed = observed
        self._built: dict[Callable[[Observed], Any], Any] = {}

    def of(self, kind: "Kind[Any, _O]") -> _O:
        """Return what was read for a kind."""
        return self._observed.of(kind)

    def look_up(self, build: Callable[[Observed], _T]) -> _T:
        """Return what a function makes of it all."""
        if build not in self._built:
            self._built[build] = build(self._observed)
        return cast(_T, self._built[build])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind(Generic[_D_co, _O_co]):
    """One kind of rows. A row of ours that is observed and not desired goes."""

    name: str
    without: str  #: what does not work while a row is missing or differs; said with the finding
    desired: Callable[[Source, Scope, Observed], _D_co]  #: read after the rows
    read: Callable[[OvnRows, Scope], _O_co]  #: with what of others' rows the difference depends on
    diff: Callable[[Desired, Observed, Capability], Iterator[Change]]  #: pure
    holdings: Callable[[Observed], Parts]  #: what the audit is told


def no_desired(_source: Source, _scope: Scope, _observed: Observed) -> None:
    """Desire nothing: the difference follows from other kinds."""


def no_read(_rows: OvnRows, _scope: Scope) -> None:
    """Read nothing: the difference follows from other kinds."""


def no_holdings(_observed: Observed) -> Parts:
    """Report no part of its own."""
    return {}
