"""Delivery: one pass over one lane of the journal.

claim a batch -> read what is wanted now -> carry it -> settle each intent by its result.

An intent says only *where to look*, so what is carried is always the latest state, and an intent
whose object changes meanwhile stays due because its generation has moved on. A worker may die
between any two steps: its claims expire, and carrying the same state twice does no harm.
"""

import contextlib
import enum
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from isthmus import errors
from isthmus.journal import crash, decide
from isthmus.journal.backoff import ATTEMPTS, LaneWait
from isthmus.journal.protocols import Carrier, Clock, Source, Store
from isthmus.journal.turn import ENOUGH_S
from isthmus.model.intent import Claim, Outcome, Settlement
from isthmus.model.item import Item
from isthmus.model.site import SiteName

LOG = logging.getLogger(__name__)

#: How many intents a probe carries after a lane fell silent.
_PROBE_SIZE = 4


class Side(enum.Enum):
    """Where a pass failed as a whole."""

    SOURCE = "source"  #: the wanted state could not be read
    CARRIER = "carrier"  #: the other side


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass did."""

    claimed: int = 0
    taken: int = 0
    again: int = 0
    parked: int = 0
    failed_side: Side | None = None
    error: errors.IsthmusError | None = None
    retry_at_s: float | None = None  #: the lane is shut until then, by the delivery's clock

    @property
    def idle(self) -> bool:
        """Tell whether there was nothing to do."""
        return not self.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How a lane is delivered."""

    owner: str  #: who claims; unique among living workers
    claim_s: float  #: a claim expires then; longer than any call may take
    batch: int = 50  #: most intents in one call


class Delivery:
    """Carries one lane; keeps the lane's breaker and batch size between passes.

    One thread uses it at a time.
    """

    def __init__(
        self,
        lane: SiteName,
        *,
        store: Store,
        source: Source,
        carrier: Carrier,
        clock: Clock,
        settings: DeliverySettings,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """Prepare the delivery of one lane.

        Args:
            lane: which lane.
            store: the journal.
            source: where wanted state is read.
            carrier: the way to the other side.
            clock: measures how long the lane stays shut.
            settings: owner, batch, claim time.
            uniform: gives numbers from 0 to 1, for jitter.
        """
        self.lane = lane
        self._store = store
        self._source = source
        self._carrier = carrier
        self._clock = clock
        self._settings = settings
        self._uniform = uniform
        self._wait = LaneWait()
        self._size = settings.batch
        self._left = False  # whether a pass has ended before it could settle what it claimed

    def run(self) -> Pass:
        """Do one pass.

        Raises:
            Transient: the journal's own database is busy or away.
        """
        if not self._wait.allows(self._clock.seconds()):
            return Pass(retry_at_s=self._wait.retry_at_s)
        if self._left:  # else it would wait until the claims expire, and what follows it too
            self._store.release(self.lane, owner=self._settings.owner)
            self._left = False
        try:
            return self._pass()
        except Exception:
            self._left = True
            raise

    def _pass(self) -> Pass:
        limit = min(self._size, _PROBE_SIZE) if self._wait.probing else self._size
        batch = self._store.claim(
            self.lane,
            owner=self._settings.owner,
            claim_s=self._settings.claim_s,
            limit=limit,
        )
        claims = batch.claims
        if not claims:
            return Pass()
        crash.point("delivery.claimed")
        try:
            with self._foreseen():
                wanted = self._source.read(self.lane, [claim.key for claim in claims])
        except errors.IsthmusError as error:
            return self._failed(claims, error, Side.SOURCE)
        crash.point("delivery.read")
        unread = [claim for claim in claims if claim.key not in wanted]
        read = [claim for claim in claims if claim.key in wanted]
        first, later = decide.split_removals(read, wanted, more_due=len(claims) >= limit)
        settlements = [decide.put_after(claim) for claim in later]
        settlements += [self._unread(claim) for claim in unread]
        reached, wait = self._size, LaneWait()
        if first:
            items = [wanted[claim.key] for claim in first]
            began = self._clock.seconds()
            try:
                with self._foreseen():
                    results = self._carrier.deliver(self.lane, items, sequence=batch.sequence)
            except errors.IsthmusError as error:
                if settlements:
                    self._settle(settlements)
                return self._failed(first, error, Side.CARRIER)
            crash.point("delivery.delivered")
            became = decide.match_results(items, results)
            left = sum(one is not None and "unreached" in one.fields for one in became)
            if left:
                reached = len(items) - left
            seen = decide.find_seen(batch.sequence, became)
            if seen is not None:
                self._store.go_on_above(self.lane, seen)
            judged = [
                decide.judge(claim, item, error, uniform=self._uniform())
                for claim, item, error in zip(first, items, became, strict=True)
            ]
            settlements += judged
            came_nearer = any(isinstance(one, errors.Unfinished) for one in became) and (
                self._clock.seconds() - began >= ENOUGH_S / 2  # a site that did something for it
            )
            if left and not came_nearer and all(one.outcome is Outcome.AGAIN for one in judged):
                # What was not reached is due at once, and this came no nearer to the end of it.
                wait = self._wait.failed(self._clock.seconds(), self._uniform())
        self._wait = wait
        self._size = min(self._settings.batch, reached * 2)
        return self._settle(settlements)

    @contextlib.contextmanager
    def _foreseen(self) -> Iterator[None]:
        """Convert an error that nobody foresaw into one that halves the batch.

        Otherwise one object of which a tier cannot speak would keep all others from it for ever.
        """
        try:
            yield
        except errors.IsthmusError:
            raise
        except Exception as error:
            LOG.exception("lane=%s bug", self.lane)
            raise errors.Broken(f"nobody foresaw this: {error!r}") from error

    def _unread(self, claim: Claim) -> Settlement:
        error = errors.Stale(f"the desired states say nothing of {claim.key.type} {claim.key.id}")
        item = Item(claim.key.type, claim.key.id, {})
        return decide.judge(claim, item, error, uniform=self._uniform())

    def _failed(
        self,
        claims: Sequence[Claim],
        error: errors.IsthmusError,
        side: Side,
    ) -> Pass:
        """Settle a batch that failed as a whole.

        Such an error is not believed of any one object (a refusal of one comes as its result), so
        it parks nothing: a site that refuses today may answer tomorrow. Unless nobody answered,
        the batch is halved until the culprit, if there is one, stands alone and steps aside.
        """
        alone = len(claims) == 1
        timed_out = isinstance(error, errors.TimedOut)
        unreachable = isinstance(error, errors.Unreachable)
        # What is too slow alone too may have been said so at once: by a proxy, or a hostile site.
        if alone or (isinstance(error, errors.Transient) and not timed_out):
            self._wait = self._wait.failed(self._clock.seconds(), self._uniform())
        if not unreachable:
            self._size = max(1, len(claims) // 2)
        step_aside_s = 0.0
        if alone and timed_out:
            step_aside_s = decide.SLOW_S
        elif alone and not unreachable:
            step_aside_s = ATTEMPTS.delay_s(claims[0].attempts + 1, self._uniform())
        settlements = [
            decide.put_back(
                claim,
                error=error,
                delay_s=step_aside_s,
                counts=alone and not unreachable and not timed_out,
            )
            for claim in claims
        ]
        return self._settle(settlements, error=error, side=side)

    def _settle(
        self,
        settlements: Sequence[Settlement],
        *,
        error: errors.IsthmusError | None = None,
        side: Side | None = None,
    ) -> Pass:
        self._store.settle(settlements)
        crash.point("delivery.settled")
        return Pass(
            claimed=len(settlements),
            taken=sum(one.outcome is Outcome.DONE for one in settlements),
            again=sum(one.outcome is Outcome.AGAIN for one in settlements),
            parked=sum(one.outcome is Outcome.PARKED for one in settlements),
            failed_side=side,
            error=error,
            retry_at_s=self._wait.retry_at_s,
        )
