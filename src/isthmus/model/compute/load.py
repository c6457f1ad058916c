"""How loaded the database and the queue of a cell are, as they say themselves."""

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLoad:
    """What a database server says of itself, over one interval."""

    server: str  #: which server it is, in its own words
    connections: int  #: the most since it started
    most_connections: int
    running: float  #: statements at work, on average
    questions_s: float  #: statements a second
    lock_wait: float  #: sessions that wait for a row, on average
    answer_ms: float  #: what one row by its key takes, the median of several


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLoad:
    """What a RabbitMQ says of itself and of one vhost."""

    server: str
    memory: int  #: bytes in use, of the fullest node
    most_memory: int  #: above which publishers are blocked
    files: int  #: file descriptors in use, of the fullest node
    most_files: int
    alarms: tuple[str, ...]  #: of memory and disk
    waiting: int  #: messages that nobody has taken yet, in the cell's vhost, at the end
    waiting_before: int  #: the same at the begin
    messages_s: float  #: a second, in the vhost


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLoad:
    """One cell with its load; None is what could not be measured."""

    cell: str
    hosts: int
    servers: int
    database: DatabaseLoad | None = None
    queue: QueueLoad | None = None
    #: Time since a host was last seen, as a share of the time after which it is down: of the one in
    #: twenty that is the latest.
    report_age: float | None = None
    why: tuple[str, ...] = ()  #: why something was not measured


class Step(enum.StrEnum):
    """What to do about a cell."""

    STAY = "stay"
    ADD = "add"
    SPLIT = "split"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number against its limit."""

    name: str
    value: float
    limit: float
    unit: str
    remedy: str = ""  #: what else would help than fewer hosts

    @property
    def share(self) -> float:
        """How much of the limit is used; what must be nothing is 0, or far above 1."""
        if self.limit:
            return self.value / self.limit
        return float("inf") if self.value else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do about one cell, and why."""

    cell: str
    step: Step
    why: str
    measures: tuple[Measure, ...]
    hosts: int
    most_hosts: int | None  #: that the nearest limit leaves room for; None: no limit is in sight
    shared_with: tuple[str, ...] = ()  #: cells on the same servers
