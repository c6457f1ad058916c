"""One lane, one thread: work when there is some, else see whether the site is there.

A site that hangs holds up nobody but its own thread.
"""

import collections
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from isthmus import errors
from isthmus.federation.renewal import Found
from isthmus.journal.engine import Delivery, Pass, Side
from isthmus.journal.protocols import Clock
from isthmus.model.site import Reachability, Site
from isthmus.worker.once import Once

LOG = logging.getLogger(__name__)

#: Pause after an error that nobody foresaw, or a database that does not answer.
_ERROR_PAUSE_S = 1.0
#: After how many seconds a comparison goes on that a tier refused, or answered as none should.
_REFUSED_S = 300.0


class SiteClient(Protocol):
    """The site's API."""

    def ping(self) -> None:
        """Find out whether anybody answers.

        Raises:
            Unreachable: nobody did.
            TimedOut: not in time.
        """


class Comparing(Protocol):
    """Compares the site, a page at a time; `isthmus.federation.renewal`."""

    @property
    def found(self) -> Found:
        """What was found so far."""

    def step(self) -> bool:
        """Compare one page; return whether there is another one.

        Raises:
            Transient: not now; it is to be called again.
            IsthmusError: never.
        """


class Lane:
    """A thread that delivers one site's lane."""

    def __init__(
        self,
        site: Site,
        *,
        delivery: Delivery,
        client: SiteClient,
        note: Callable[[Reachability, str], None],
        clock: Clock,
        probe_interval_s: float,
    ) -> None:
        """Prepare the thread.

        Args:
            site: whose lane.
            delivery: does the passes.
            client: asked whether the site is there.
            note: told what was seen of the site; may raise `Transient`.
            clock: measures how long the site has been left alone.
            probe_interval_s: how often the site is asked where there is no work, and how often
                `note` is told that nothing changed.
        """
        self.site = site
        self._delivery = delivery
        self._client = client
        self._note = note
        self._clock = clock
        self._probe_interval_s = probe_interval_s
        self._seen: tuple[Reachability, str] = (Reachability.UNKNOWN, "")
        self._heard = -1e9  # seconds of `_now` when the site was last tried, or noted
        self._noted = -1e9
        self._asked: collections.deque[Comparing] = collections.deque()
        self._daily: Comparing | None = None
        self._renew_from = -1e9  # seconds of `_now` from which on that goes on
        self._stop = threading.Event()
        self._work = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lane-{site.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Wake the lane: there is work."""
        self._work.set()

    def renew(self, renewal: Comparing, *, asked: bool = False) -> None:
        """Renew the site whenever the lane has nothing else to do.

        Args:
            renewal: compares it.
            asked: whether somebody waits for it. Those come first, in their order; of the others
                the newest replaces the one before.
        """
        if asked:
            self._asked.append(renewal)
        else:
            self._daily = renewal
        self._work.set()

    def has_asked(self, renewal: Comparing) -> bool:
        """Return whether a renewal that somebody asked for has yet to end."""
        return any(one is renewal for one in self._asked.copy())

    def stop(self) -> None:
        """Stop the lane after the current batch."""
        self._stop.set()
        self._work.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        said = Once(LOG, f"lane={self.site.name}")
        while not self._stop.is_set():
            try:
                self.turn()
                said.went_well()
            except errors.Transient as error:
                said.failed(error)
                self._stop.wait(_ERROR_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - one of the four places that may
                said.failed(error, is_bug=True)
                self._stop.wait(_ERROR_PAUSE_S)
            self._work.wait(self._probe_interval_s)
            self._work.clear()

    def turn(self) -> None:
        """Deliver until nothing is due, then see whether the site is there.

        Raises:
            Transient: central's database is busy or away.
        """
        while not self._stop.is_set():
            done = self._delivery.run()
            if done.idle and done.retry_at_s is None and self._compare():
                continue
            if done.idle:
                break
            self._log(done)
            self._note_outcome(done)
        if not self._stop.is_set() and self._now() - self._heard >= self._probe_interval_s:
            self._probe()

    def _compare(self) -> bool:
        """Compare one page of what the site holds; tell whether one was."""
        asked = bool(self._asked)  # more may come at any time
        renewal = self._asked[0] if asked else self._daily
        if renewal is None or (not asked and self._now() < self._renew_from):
            return False
        try:
            more = renewal.step()
        except errors.Transient as error:
            LOG.info("lane=%s renewal waits: %s", self.site.name, error)
            return False
        except errors.IsthmusError as error:
            if asked:
                LOG.warning("lane=%s renewal ends: %s", self.site.name, error)
                self._drop(renewal)  # who asked for it is told, and asks again
                return True
            # It may be an error page of one call; the next comparison is a day away, or never.
            LOG.warning("lane=%s renewal waits: %s", self.site.name, error)
            self._renew_from = self._now() + _REFUSED_S
            return False
        # It has answered; nobody probes it meanwhile, and many pages may take minutes.
        was, said = self._seen
        self._saw(Reachability.REACHABLE, said if was is Reachability.REACHABLE else "")
        if not more:
            found = renewal.found
            LOG.info("lane=%s renewed pages=%d noted=%d", self.site.name, found.pages, found.noted)
            self._drop(renewal)
        return True

    def _drop(self, renewal: Comparing) -> None:
        """Forget a renewal that has ended; another may have replaced it meanwhile."""
        if self._asked and self._asked[0] is renewal:
            self._asked.popleft()
        elif self._daily is renewal:
            self._daily = None

    def _note_outcome(self, done: Pass) -> None:
        """Learn from a pass whether the site is there."""
        if done.failed_side is Side.SOURCE:
            return
        if isinstance(done.error, errors.Unreachable | errors.TimedOut):
            self._saw(Reachability.UNREACHABLE, done.error.message)
        elif done.error is not None:
            self._saw(Reachability.REACHABLE, done.error.message)
        elif done.taken or done.parked:
            self._saw(Reachability.REACHABLE, "")

    def _probe(self) -> None:
        try:
            self._client.ping()
        except (errors.Unreachable, errors.TimedOut) as error:
            self._saw(Reachability.UNREACHABLE, error.message)
        except errors.IsthmusError as error:
            self._saw(Reachability.REACHABLE, error.message)
        else:
            # What a batch met with stays to be read until a batch goes through.
            was, error_text = self._seen
            self._saw(Reachability.REACHABLE, error_text if was is Reachability.REACHABLE else "")

    def _saw(self, reachability: Reachability, error: str) -> None:
        now = self._now()
        self._heard = now
        changed = (reachability, error) != self._seen
        if changed:
            LOG.info("lane=%s %s %s", self.site.name, reachability.value, error)
        if changed or now - self._noted >= self._probe_interval_s:
            self._note(reachability, error)
            self._seen = (reachability, error)
            self._noted = now

    def _log(self, done: Pass) -> None:
        LOG.log(
            logging.WARNING if done.error or done.parked else logging.INFO,
            "lane=%s claimed=%d taken=%d again=%d parked=%d error=%s",
            self.site.name,
            done.claimed,
            done.taken,
            done.again,
            done.parked,
            done.error.code if done.error else "-",
        )

    def _now(self) -> float:
        return self._clock.seconds()
