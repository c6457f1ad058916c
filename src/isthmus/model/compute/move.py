"""A compute host on its way from one cell to another."""

import datetime
import enum
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
#: Table -> its rows that belong to a host.
HostRows = dict[str, list[Row]]


class Phase(enum.Enum):
    """How far a move is; what the databases say, so that it can be taken up by anybody."""

    FENCED = "fenced"  #: its service is disabled with a marker, in the old cell
    COPIED = "copied"  #: its rows are in the new cell too, hidden
    SWITCHED = "switched"  #: the mappings lead to the new cell
    MOVED = "moved"  #: its rows are in the new cell alone; nova-compute may start there


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMove:
    """One host that moves."""

    host: str
    source: str  #: uuid of the cell that it leaves
    target: str  #: uuid of the cell that it goes to
    was_disabled: bool  #: what its service is given back at the end
    reason: str | None
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class HostService:
    """The service nova-compute of a host in one cell."""

    disabled: bool
    reason: str | None
    closed: str  #: why it is not to be reckoned with, apart from its being disabled
    forced_down: bool = False
    seen: datetime.datetime | None = None  #: when it last said that it is up


class Turn(enum.Enum):
    """What brings a host to a cell."""

    NOTHING = "nothing"  #: it is there
    BEGIN = "begin"
    GO_ON = "go on"  #: it is on its way there
    UNDO = "undo"  #: it had begun to leave
    REVERSE = "reverse"  #: it had arrived elsewhere, and was not opened there
