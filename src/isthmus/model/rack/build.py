"""A build: its events, where every machine stands, and the plan of what is left to do."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Stage(enum.StrEnum):
    """Where a machine stands; the words are Ironic's where it has them."""

    WAITING = "waiting"  #: its turn has not come
    ENROLL = "enroll"  #: power control is asked to boot it from the network
    PROVISION = "provision"  #: powered on; it has not asked us for anything yet
    INSPECT = "inspect"  #: it asked; its ramdisk or installer is loading
    DEPLOY = "deploy"  #: its disk is being written
    VERIFY = "verify"  #: written; it boots from its disk, and has not reported in
    ACTIVE = "active"
    FAILED = "failed"  #: an attempt failed; the next is to come
    QUARANTINED = "quarantined"  #: no more attempts; a person must look

    @property
    def is_underway(self) -> bool:
        """Tell whether the machine is in somebody's hands now."""
        return self in _UNDERWAY


_UNDERWAY = frozenset({Stage.ENROLL, Stage.PROVISION, Stage.INSPECT, Stage.DEPLOY, Stage.VERIFY})


class Happening(enum.StrEnum):
    """What an event of a build tells."""

    BEGUN = "begun"  #: of the whole build: a builder took it up, first or again
    ENDED = "ended"  #: of the whole build: a builder let it go
    STARTED = "started"  #: an attempt begins; written before power is touched
    POWERED = "powered"  #: power control did as it was told
    ASKED = "asked"  #: the machine asked for its boot script
    INSPECTED = "inspected"  #: its ramdisk runs, and told what the machine is made of
    WRITING = "writing"  #: it begins to write its disk
    WRITTEN = "written"  #: the disk is written, and its checksum is right
    REPORTED = "reported"  #: it runs from its disk
    FAILED = "failed"  #: this attempt failed
    QUARANTINED = "quarantined"  #: and it was the last
    RELEASED = "released"  #: a person lets a quarantined machine be tried again
    UNKNOWN = "unknown"  #: a machine that no plan names asked for a boot script


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """One line of a build's log."""

    at: float  #: seconds since 1970, by the builder's clock
    kind: Happening
    node: str = ""
    detail: str = ""  #: one sentence
    fields: Mapping[str, str] = field(default_factory=dict)


class Verb(enum.StrEnum):
    """What a plan will do to a machine."""

    BUILD = "build"
    GO_ON = "go on"  #: an attempt is under way, or the next is to come
    RETRY = "retry"  #: it was released from quarantine
    REBUILD = "rebuild"  #: it runs, and its name was given to be written anew
    KEEP = "keep"
    DIFFERS = "differs"  #: it runs something else than the file says; left alone
    QUARANTINED = "quarantined"  #: left alone
    LEFT = "left"  #: built once, and in the file no more; left alone

    @property
    def acts(self) -> bool:
        """Tell whether anything is done."""
        return self in {Verb.BUILD, Verb.GO_ON, Verb.RETRY, Verb.REBUILD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A number that an estimate rests on."""

    name: str
    value: float
    unit: str
    source: str  #: measured, with how often and where, or assumed, with why


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What will be done to one machine."""

    node: str
    site: str
    rack: str
    verb: Verb
    wave: int | None  #: None where nothing is done
    address: str
    roles: tuple[str, ...]
    why: str = ""
    destroys: bool = False  #: what is on its disk
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Machines that are started together."""

    number: int
    nodes: tuple[str, ...]
    estimate_s: float
    slowest: str  #: what most of the estimate goes into


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What a build will do."""

    nodes: tuple[NodePlan, ...]
    waves: tuple[Wave, ...]
    rates: tuple[Rate, ...]
    estimate_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one machine stands, by its events."""

    node: str
    stage: Stage = Stage.WAITING
    attempt: int = 0
    since: float = 0.0  #: of the stage
    why: str = ""  #: of its last failure
    failed_in: Stage | None = None
    spec: str = ""  #: digest of what it was told to become
    wrote: bool = False  #: this build has begun to write the disk of this very machine
    starts: int = 0  #: attempts ever, those before a release or a rebuild included
    entered: tuple[tuple[Stage, float], ...] = ()  #: the stages of this attempt
    facts: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    mac: str = ""
