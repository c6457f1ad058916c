"""The relay: a thread in each API process that delivers the site's journal to central.

A commit in the same process wakes it at once; what other processes recorded, or a dead one left
behind, it finds by polling. One process at a time delivers the lane: the journal's claims ensure
that.

Central answers a report when it has done it, however busy it is. A second thread sees to what may
not wait for that: the claims are extended, so that nobody else sends the same again, and a link
that was down is tried, so that people's calls go out again.
"""

import threading
import time
from collections.abc import Callable, Collection

import sqlalchemy as sa
from oslo_log import log as logging

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.clients.machine.clock import SystemClock
from isthmus.journal import worker_id
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.journal.protocols import Carrier, Source
from isthmus.model.site import CENTRAL
from isthmus.neutron.local.connections import Lazy
from isthmus.neutron.local.report.carrier import forget_reported
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import sweep
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql.engine import writing

LOG = logging.getLogger(__name__)

#: Limit of ports in one report. Each takes central some tenths of a second, and a port that has
#: just become active waits for the report in progress; central accepts 25, and answers after some
#: seconds what it has done by then.
BATCH = 10
#: How often a refused report is repeated, in seconds: the reason may have gone at central.
_RETRY_S = 300.0
#: How much longer than a call a claim lasts, in seconds. It is extended while a call goes on.
_CLAIM_MARGIN_S = 20.0
#: How many times it would be extended until it ends.
_EXTENDED = 4
#: For how long they are, in seconds: longer than central is waited for. A thread that hangs
#: elsewhere keeps no other process from the lane.
_MOST_EXTENDED_S = 360.0
#: How long `stop` waits for each thread, in seconds: central may take long over a report. What it
#: leaves claimed is released by the next process of this machine.
_STOP_S = 5.0


class Relay:
    """Delivers the lane to central."""

    def __init__(
        self,
        *,
        engine: Callable[[], sa.Engine],
        source: Source,
        carrier: Carrier,
        client: Lazy[CentralClient],
        woken: threading.Event,
        list_open: Callable[[], Collection[str]],
        is_heard: Callable[[], bool],
        poll_s: float,
        call_s: float,
    ) -> None:
        """Initialise; nothing runs before `start`.

        Args:
            engine: returns the site's database, which has the journal.
            source: reads ports.
            carrier: delivers reports to central.
            client: asked whether a link that was down is up again.
            woken: set when an intent was recorded in this process.
            list_open: returns the ports that calls in progress in this process have changed: they
                are reported when the call has ended.
            is_heard: returns whether central accepts this database; nothing is delivered before.
            poll_s: seconds between two polls of the journal.
            call_s: timeout of a call, in seconds.
        """
        self._engine = engine
        self._client = client
        self._woken = woken
        self._is_heard = is_heard
        self._poll_s = poll_s
        self._retry_at = time.monotonic() + _RETRY_S
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._claim_s = call_s + _CLAIM_MARGIN_S
        self._claimed_at: float | None = None  # when the pass began that is under way
        self._extended_at = 0.0
        self._store = SqlJournal(engine(), forget=forget_reported, list_deferred=list_open)
        self._owner = worker_id.new()
        self._delivery = Delivery(
            CENTRAL,
            store=self._store,
            source=source,
            carrier=carrier,
            clock=SystemClock(),
            settings=DeliverySettings(owner=self._owner, batch=BATCH, claim_s=self._claim_s),
        )

    def start(self) -> None:
        """Start the threads of this process."""
        for name, run in (("isthmus-relay", self._run), ("isthmus-relay-watch", self._watch)):
            self._threads.append(threading.Thread(target=run, name=name, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """Stop the threads, and wait for what ends soon."""
        self._stopping.set()
        self._woken.set()
        while self._threads:
            self._threads.pop().join(_STOP_S)

    def _run(self) -> None:
        self._release()
        while not self._stopping.is_set():
            self._woken.wait(self._poll_s)
            self._woken.clear()
            while not self._stopping.is_set() and self._pass():
                pass

    def _watch(self) -> None:
        every_s = min(self._poll_s, self._claim_s / _EXTENDED / 2)
        while not self._stopping.wait(every_s):
            try:
                self._extend()
                if self._is_heard():
                    self._client().ping()
            except errors.IsthmusError as error:
                LOG.debug("Central is looked for again: %s", error.message)
            except Exception:  # the boundary of a worker loop
                LOG.exception("The relay's second thread failed and continues")

    def _extend(self) -> None:
        """Have the claims of a report that is under way last longer."""
        since, now = self._claimed_at, time.monotonic()
        if since is None or now - max(since, self._extended_at) < self._claim_s / _EXTENDED:
            return
        if now - since > _MOST_EXTENDED_S:
            return
        self._extended_at = now
        self._store.extend(CENTRAL, owner=self._owner, claim_s=self._claim_s)

    def _release(self) -> None:
        """Release at once what a dead process of this machine has claimed."""
        try:
            with writing(self._engine()) as connection:
                sweep.release_dead(connection, worker_id.is_dead)
        except errors.IsthmusError as error:
            LOG.info("Claims of dead processes are left to expire: %s", error.message)

    def _sweep(self) -> None:
        """Retry what is parked, and correct times, now and then."""
        if time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + _RETRY_S
        with writing(self._engine()) as connection:
            job_store.retry_parked(connection, CENTRAL)
            if job_store.correct_times(connection, claim_s=self._claim_s):
                LOG.warning("The database's clock was set back; reports that waited for it are due")

    def _pass(self) -> bool:
        """Do one pass.

        Returns:
            Whether to do another one at once.
        """
        if not self._is_heard():
            return False
        try:
            self._claimed_at = time.monotonic()
            try:
                done = self._delivery.run()
            finally:
                self._claimed_at = None
            if done.error is not None:
                LOG.info(
                    "Reports to central are retried later: %r %s", done.error, done.error.fields
                )
            if done.idle:
                self._sweep()
        except errors.Transient as error:
            LOG.debug("No report is sent now: %s", error.message)
            return False
        except Exception:  # the boundary of a worker loop
            LOG.exception("The relay failed and continues")
            time.sleep(self._poll_s)
            return False
        # What was put behind the others, or not reached, is due at once; the rest comes to an end.
        return done.error is None and not done.idle
