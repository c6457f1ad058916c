"""Intents: rows that say "this object at this site may differ from what is wanted"."""

import datetime
import enum
from dataclasses import dataclass

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

#: Removal goes the other way round and after everything that is to be made.
_REMOVALS_START = 1000


def removal_rank(kind: ResourceType) -> int:
    """Return a removal's rank in its lane."""
    return _REMOVALS_START - kind.rank


@dataclass(frozen=True, slots=True, order=True)
class IntentKey:
    """Which object at which site. `lane` is the site that has to be told."""

    lane: SiteName
    type: ResourceType
    id: str


class JobState(enum.StrEnum):
    """What an operator sees of an intent."""

    WAITING = "waiting"  #: due now or later
    RUNNING = "running"  #: claimed by a worker
    PARKED = "parked"  #: refused by the other side; a person retries or cancels it


@dataclass(frozen=True, slots=True)
class Batch:
    """Intents claimed together; `sequence` grows with every batch of the lane."""

    sequence: int = 0
    claims: "tuple[Claim, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An intent in the hands of one worker until the claim runs out."""

    id: str  #: of the row: a row that went and came back counts its generations anew
    key: IntentKey
    generation: int  #: grows with every change; an acknowledgement counts only for the one read
    attempts: int  #: failed attempts so far, unanswered ones not counted
    rank: int  #: place in the lane's order of work
    owner: str
    epoch: int = 0  #: of this tier's database, when it was claimed
    failed: bool = False  #: an attempt has failed before, or it was parked


class Outcome(enum.Enum):
    """What one attempt made of an intent."""

    DONE = "done"  #: taken; the row goes, unless the object changed in the meantime
    AGAIN = "again"  #: stays, due after `delay_s`
    PARKED = "parked"  #: stays until a person retries or cancels it, or the object changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a claim ends."""

    claim: Claim
    outcome: Outcome
    absent: bool = False  #: what was carried said that the object is gone
    delay_s: float = 0.0  #: for AGAIN; 0 means due at once
    counts: bool = False  #: for AGAIN: whether it was a failed attempt
    after: bool = False  #: for AGAIN: it is gone or waits for what goes: after what is to be made
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An intent as `isthmus job` shows it."""

    id: str  #: a UUID that stays the same while the row lives
    key: IntentKey
    state: JobState
    generation: int
    attempts: int
    created_at: datetime.datetime
    changed_at: datetime.datetime
    not_before: datetime.datetime | None  #: None: due at once
    last_error: str = ""


class What(enum.StrEnum):
    """What an event tells; the part before the dot is what it happened to."""

    SITE_CREATED = "site.created"
    SITE_CHANGED = "site.changed"
    SITE_DELETED = "site.deleted"
    SITE_REACHABLE = "site.reachable"
    SITE_UNREACHABLE = "site.unreachable"
    SITE_REGISTERED = "site.registered"
    SITE_GONE_WITHOUT = "site.gone-without"  #: a restored central waits for it no more
    CENTRAL_RESTORED = "central.restored"
    CENTRAL_RECOVERED = "central.recovered"
    EXTENDED = "mapping.extended"  #: an object is to be at a site
    WITHDRAWN = "mapping.withdrawn"  #: a site is to lose an object
    REMOVED = "mapping.removed"  #: a site has acknowledged that it has lost one
    HOME_ASKED = "home.asked"  #: the home of a port was asked to release it
    HOME_MOVED = "home.moved"  #: taken from a site that is disabled
    HOME_DROPPED = "home.dropped"  #: by force
    JOB_PARKED = "job.parked"
    JOB_RETRIED = "job.retried"
    JOB_CANCELLED = "job.cancelled"
    JOB_DONE = "job.done"  #: one that was parked
    REPORT_REFUSED = "report.refused"
    REPORT_TAKEN = "report.taken"  #: one that was refused before, or whose object is gone
    LEASE_GRANTED = "lease.granted"
    LEASE_RETURNED = "lease.returned"
    LEASE_CORRECTED = "lease.corrected"  #: a site was told what is its own of one
    LEASE_FREED = "lease.freed"  #: of a removed site that never let go of it
    RESYNC_ASKED = "resync.asked"
    RESYNC_DONE = "resync.done"
    RESYNC_FAILED = "resync.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a site, or to what central knows of an object there."""

    what: What
    who: str  #: the user whose request it was, `xjob`, or `central`
    site: str = ""  #: empty where it is about central alone
    type: str = ""  #: of the object; empty where it is about a site as a whole
    resource_id: str = ""
    details: str = ""  #: why, or what exactly


class RenewalState(enum.StrEnum):
    """How far a requested renewal is."""

    WAITING = "waiting"  #: for a worker
    COMPARING = "comparing"  #: a worker compares page by page, or waits for the site to answer
    DONE = "done"  #: all was compared; what differed has its jobs
    FAILED = "failed"  #: a tier refused; the error says why


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRequest:
    """What a worker has taken on."""

    id: str
    site: SiteName
    network_id: str = ""  #: empty: all that the site has
