"""A cell that is on its way into a Nova: what it is to be, and what there is of it."""

import enum
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.model.compute.cloud import CellAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class CellServers:
    """The servers that are to hold a new cell, with what their administrators log in with."""

    database: str = field(repr=False)  #: URL of the database server, without a database
    queue: str  #: host:port at which Nova reaches RabbitMQ; several with commas
    management: str = field(repr=False)  #: URL of its management API
    reached_from: str = "%"  #: from where the cell's user may log in to the database


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCell:
    """A cell that is being added: what its file says, which is the journal of the procedure."""

    name: str
    database: str = field(repr=False)  #: URL, with the cell's own login
    queue: str = field(repr=False)  #: the same of its messages
    reached_from: str = "%"
    source: str = ""  #: uuid of the cell whose hosts it is to get
    hosts: tuple[str, ...] = ()  #: those


class AddStep(enum.Enum):
    """One step of adding a cell, in the order in which they are done."""

    FILE = "file"
    QUEUE = "queue"
    DATABASE = "database"
    SCHEMA = "schema"
    MAPPING = "mapping"
    CONDUCTOR = "conductor"
    HOSTS = "hosts"
    ENABLE = "enable"
    CANARY = "canary"


class StepState(enum.StrEnum):
    """How a step stands."""

    DONE = "done"
    NEXT = "to do"
    BY_HAND = "yours"  #: a person or a role does it
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedStep:
    """One step, how it stands, and what it does."""

    step: AddStep
    state: StepState
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What a database has, as far as it matters whether it may be made anew."""

    there: bool = False
    tables: int = 0
    servers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AddState:
    """What there is of a cell that is being added."""

    file: Path
    cell: NewCell | None = None  #: None: its file is not written yet
    database: Holds = Holds()
    queue: bool = False  #: its vhost, user and permission are there
    mapped: CellAddress | None = None
    conductor: bool = False  #: one is up in it
    hosts: tuple[str, ...] = ()  #: that announced themselves in it
    unmapped: tuple[str, ...] = ()  #: those of them that are mapped to no cell
