"""The journal on an engine: every call is a transaction of its own, as the delivery needs it.

Workers of one lane and Neutron's writers may collide; the transaction that loses is retried.
"""

import logging
from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from isthmus.model import number
from isthmus.model.intent import Batch, IntentKey, Settlement
from isthmus.model.site import SiteName
from isthmus.store.delivery import claiming, journal
from isthmus.store.delivery import lane as lane_store
from isthmus.store.sql.engine import again_when_busy, reading, writing

LOG = logging.getLogger(__name__)


def _all(_connection: sa.Connection) -> claiming.Deliverable:
    """Defer nothing that is due."""
    return claiming.ALL


def _keep(_connection: sa.Connection, _keys: Sequence[IntentKey]) -> None:
    """Do nothing: no further rows depend on the objects."""


def _tell_nobody(_connection: sa.Connection, _settled: claiming.Settled) -> None:
    """Do nothing: this tier keeps no events."""


class SqlJournal:
    """`isthmus.journal.protocols.Store` on a database."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        lock: Callable[[sa.Connection, Sequence[IntentKey]], None] = _keep,
        forget: Callable[[sa.Connection, Sequence[IntentKey]], None] = _keep,
        tell: Callable[[sa.Connection, claiming.Settled], None] = _tell_nobody,
        list_deferred: Callable[[], Collection[str]] = tuple,
        find_deliverable: Callable[[sa.Connection], claiming.Deliverable] = _all,
    ) -> None:
        """Initialise the journal.

        Args:
            engine: the tier's database.
            lock: called first in the settling transaction with the keys of objects that the other
                side says are gone, to lock them before their intents, as whoever changes them does.
            forget: called afterwards with those that it now knows are gone, to delete what else is
                kept of them.
            tell: called in the settling transaction, to record what it did as events.
            list_deferred: returns the ids of objects whose intents are not claimed now, because a
                call in progress is about to change them again.
            find_deliverable: returns which intents may be delivered now.
        """
        self._engine = engine
        self._list_deferred = list_deferred
        self._find_deliverable = find_deliverable
        self._lock = lock
        self._forget = forget
        self._tell = tell

    def due_lanes(self) -> set[SiteName]:
        """List the sites that have an intent due and unclaimed."""
        with reading(self._engine) as connection:
            return claiming.due_lanes(connection, self._find_deliverable(connection))

    @again_when_busy
    def claim(self, lane: SiteName, *, owner: str, claim_s: float, limit: int) -> Batch:
        """Claim up to `limit` due intents of a lane, in the order of work.

        Args:
            lane: the lane.
            owner: id of the worker.
            claim_s: how long the claims last, in seconds.
            limit: how many at most.
        """
        with reading(self._engine) as connection:
            if not claiming.is_due(connection, lane, self._find_deliverable(connection)):
                return Batch()  # an idle worker writes nothing
        with writing(self._engine) as connection:
            return claiming.claim(
                connection,
                lane,
                owner=owner,
                claim_s=claim_s,
                limit=limit,
                but=self._list_deferred(),
                which=self._find_deliverable,
            )

    @again_when_busy
    def extend(self, lane: SiteName, *, owner: str, claim_s: float) -> None:
        """Have the claims of an owner last longer, while it waits for the answer to a batch.

        Args:
            lane: the lane.
            owner: id of the worker.
            claim_s: how long the claims last from now on, in seconds.
        """
        with writing(self._engine) as connection:
            claiming.extend(connection, lane, owner=owner, claim_s=claim_s)

    @again_when_busy
    def release(self, lane: SiteName, *, owner: str) -> None:
        """Release what an owner has claimed of a lane."""
        with writing(self._engine) as connection:
            claiming.release_owner(connection, lane, owner)

    @again_when_busy
    def go_on_above(self, lane: SiteName, seen: int) -> None:
        """Number the lane's next batches above what the other side has seen."""
        with writing(self._engine) as connection:
            if lane_store.go_on_above(connection, lane, seen):
                LOG.warning(
                    "Lane %s has seen batch %s, which this database did not send: it was restored, "
                    "or somebody else sent that",
                    lane,
                    number.show(seen),
                )

    @again_when_busy
    def note(self, keys: Sequence[IntentKey]) -> None:
        """Record intents."""
        with writing(self._engine) as connection:
            journal.record(connection, keys)

    @again_when_busy
    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Settle claims, in the order in which intents are recorded."""
        settlements = sorted(settlements, key=lambda one: one.claim.key)
        absent = [one.claim.key for one in settlements if one.absent]
        with writing(self._engine) as connection:
            if absent:
                self._lock(connection, absent)
            settled = claiming.settle(connection, settlements)
            if settled.removed:
                self._forget(connection, settled.removed)
            self._tell(connection, settled)
