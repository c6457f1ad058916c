"""An in-memory journal, and fakes for the two ends of a lane.

`MemoryJournal` passes the same contract suite as the journal in SQL (`tests/ports`).
"""

import datetime
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus import errors
from isthmus.model.intent import (
    Batch,
    Claim,
    IntentKey,
    Job,
    JobState,
    Outcome,
    Settlement,
    removal_rank,
)
from isthmus.model.item import Item, ItemResult, refused, taken
from isthmus.model.site import SiteName
from isthmus.testing.clock import FakeClock

#: Sorts before every time.
_AT_ONCE = datetime.datetime.min  # noqa: DTZ901


@dataclass(kw_only=True)
class _Row:
    id: str
    key: IntentKey
    rank: int
    generation: int = 1
    attempts: int = 0
    not_before: datetime.datetime | None = None
    owner: str | None = None
    expires_at: datetime.datetime | None = None
    parked: bool = False
    last_error: str = ""
    created_at: datetime.datetime
    changed_at: datetime.datetime

    def claimed(self, now: datetime.datetime) -> bool:
        return self.owner is not None and self.expires_at is not None and self.expires_at > now

    def due(self, now: datetime.datetime) -> bool:
        is_time = self.not_before is None or self.not_before <= now
        return not self.parked and is_time and not self.claimed(now)


class MemoryJournal:
    """The journal's rows in a dict."""

    def __init__(self, clock: FakeClock) -> None:
        """Start empty; the clock is what a database's own would be."""
        self.clock = clock
        self.rows: dict[IntentKey, _Row] = {}
        self.removed: list[IntentKey] = []  #: absent objects whose row went
        self._sequences: dict[SiteName, int] = {}

    def record(self, keys: Iterable[IntentKey]) -> None:
        """Note that objects may differ from what is wanted."""
        now = self.clock.now()
        for key in set(keys):
            row = self.rows.get(key)
            if row is None:
                self.rows[key] = _Row(
                    id=str(uuid.uuid4()),
                    key=key,
                    rank=key.type.rank,
                    created_at=now,
                    changed_at=now,
                )
                continue
            row.generation += 1
            row.rank = key.type.rank
            row.attempts = 0
            row.not_before, row.changed_at = None, now
            row.parked = False
            row.last_error = ""

    def due_lanes(self) -> set[SiteName]:
        """List the lanes that have an intent due and unclaimed."""
        now = self.clock.now()
        return {row.key.lane for row in self.rows.values() if row.due(now)}

    def claim(self, lane: SiteName, *, owner: str, claim_s: float, limit: int) -> Batch:
        """Claim up to `limit` due intents of a lane, in the order of work.

        Args:
            lane: the lane.
            owner: id of the worker.
            claim_s: how long the claims last, in seconds.
            limit: how many at most.
        """
        now = self.clock.now()
        rows = [row for row in self.rows.values() if row.key.lane == lane]
        if any(row.claimed(now) and row.owner != owner for row in rows):
            return Batch()
        due = sorted(
            (row for row in rows if row.due(now)),
            key=lambda row: (row.rank, row.not_before or _AT_ONCE, row.changed_at, row.key.id),
        )[:limit]
        if not due:
            return Batch()
        for row in due:
            row.owner, row.expires_at = owner, now + datetime.timedelta(seconds=claim_s)
        sequence = self._sequences[lane] = self._sequences.get(lane, 0) + 1
        claims = [
            Claim(
                id=row.id,
                key=row.key,
                generation=row.generation,
                attempts=row.attempts,
                rank=row.rank,
                owner=owner,
            )
            for row in due
        ]
        return Batch(sequence, tuple(sorted(claims, key=lambda one: (one.rank, one.key))))

    def go_on_above(self, lane: SiteName, seen: int) -> None:
        """Number the lane's next batches above what the other side has seen, if they are not."""
        self._sequences[lane] = max(self._sequences.get(lane, 0), seen)

    def release(self, lane: SiteName, *, owner: str) -> None:
        """Release what an owner has claimed of a lane."""
        for row in self.rows.values():
            if row.key.lane == lane and row.owner == owner:
                row.owner = row.expires_at = None

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """End claims."""
        for one in settlements:
            claim = one.claim
            row = self.rows.get(claim.key)
            if row is None or row.id != claim.id:
                continue
            unchanged = row.generation == claim.generation
            if unchanged and one.outcome is Outcome.DONE:
                del self.rows[claim.key]
                if one.absent:
                    self.removed.append(claim.key)
            elif row.owner == claim.owner:
                row.owner = row.expires_at = None
                if unchanged:
                    self._put_back(row, one)

    def _put_back(self, row: _Row, one: Settlement) -> None:
        row.last_error = one.error or row.last_error
        if one.outcome is Outcome.PARKED:
            row.parked = True
            row.attempts += 1
            return
        delay = datetime.timedelta(seconds=one.delay_s)
        row.not_before = self.clock.now() + delay if delay else None
        row.attempts += one.counts
        if one.after:
            row.rank = removal_rank(row.key.type)

    def list_jobs(self) -> list[Job]:
        """List jobs, oldest first."""
        now = self.clock.now()
        rows = sorted(self.rows.values(), key=lambda row: (row.created_at, row.id))
        return [
            Job(
                id=row.id,
                key=row.key,
                state=JobState.PARKED
                if row.parked
                else (JobState.RUNNING if row.claimed(now) else JobState.WAITING),
                generation=row.generation,
                attempts=row.attempts,
                created_at=row.created_at,
                changed_at=row.changed_at,
                not_before=row.not_before,
                last_error=row.last_error,
            )
            for row in rows
        ]


@dataclass
class FakeWorld:
    """What is wanted, by object; `isthmus.journal.protocols.Source`."""

    wanted: dict[IntentKey, Mapping[str, object] | None] = field(default_factory=dict)
    error: errors.IsthmusError | None = None
    reads: int = 0

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        """Read what is wanted; an object that nobody set is gone."""
        del lane
        self.reads += 1
        if self.error is not None:
            raise self.error
        return {key: Item(key.type, key.id, self.wanted.get(key)) for key in keys}


@dataclass
class FakeSite:
    """The other side; `isthmus.journal.protocols.Carrier`."""

    held: dict[str, Mapping[str, object]] = field(default_factory=dict)
    batches: list[list[Item]] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    error: errors.IsthmusError | None = None  #: raised instead of an answer
    refusals: dict[str, errors.IsthmusError] = field(default_factory=dict)  #: by object id
    forgets: set[str] = field(default_factory=set)  #: ids that its answers leave out
    before: Callable[[Sequence[Item]], None] | None = None  #: called first; may raise

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        """Apply items, or refuse as told."""
        del lane
        if self.before is not None:
            self.before(items)
        if self.error is not None:
            raise self.error
        self.batches.append(list(items))
        self.sequences.append(sequence)
        return [self._take(item) for item in items if item.id not in self.forgets]

    def _take(self, item: Item) -> ItemResult:
        refusal = self.refusals.get(item.id)
        if refusal is not None:
            return refused(item, refusal)
        if item.state is None:
            self.held.pop(item.id, None)
        else:
            self.held[item.id] = item.state
        return taken(item)
