"""Keeps one lane for each site that takes deliveries, and wakes the lanes that have work."""

import logging
import math
import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from isthmus import errors
from isthmus.config.xjob import XjobConfig
from isthmus.journal import worker_id
from isthmus.journal.engine import Delivery
from isthmus.journal.protocols import Clock
from isthmus.model.intent import RenewalRequest
from isthmus.model.site import Reachability, Site, SiteName
from isthmus.worker.lane import Comparing, Lane, SiteClient
from isthmus.worker.once import Once

LOG = logging.getLogger(__name__)

#: How often the list of sites is read, in seconds.
_SITES_S = 1.0
#: How often claims of dead workers of this machine are looked for, in seconds.
_DEAD_S = 5.0
#: How often what was refused since something was in use is tried again, in seconds. Most of what
#: goes at a site is told; what belongs to the site alone (a trunk, a port of a network of its own)
#: is not, and this finds that it has gone.
_IN_USE_S = 300.0
#: How often intents are looked for whose time was written before the database's clock was set back,
#: in seconds.
_CLOCK_S = 60.0
#: Work comes in bursts: a port that is created is bound and comes up next. After work was found,
#: the journal is looked at so many times as often, for so many seconds.
_EAGER = 4
_EAGER_S = 5.0
#: Within how many seconds sites are compared once a restored central has recovered; or so many for
#: each of them, where that is longer: it answers the lanes meanwhile.
_RESTORED_S = 30.0
_EACH_S = 1.0
#: How long a lane has to finish its batch, beyond the time that a call may take.
_GRACE_S = 2.0


class Requests(Protocol):
    """Renewals that somebody asked for; `isthmus.store.delivery.renewal_engine`."""

    def take(
        self, sites: Collection[SiteName], running: Collection[str]
    ) -> Sequence[RenewalRequest]:
        """Claim what is requested of some sites; what it holds, by id, stays this worker's."""

    def release(self, sites: Collection[SiteName]) -> None:
        """Leave to others what is requested of some sites and is not done."""

    def release_dead(self, is_dead: Callable[[str], bool]) -> None:
        """Leave to others what dead workers have taken on."""

    def drop_ended(self) -> None:
        """Delete those that ended long ago."""


class Work(Protocol):
    """What the wiring offers; see `isthmus.wiring.xjob.Xjob`."""

    settings: XjobConfig
    clock: Clock

    @property
    def requests(self) -> Requests:
        """Renewals that somebody asked for."""

    def list_sites(self) -> list[Site]:
        """List the sites that take deliveries."""

    def due_lanes(self) -> set[SiteName]:
        """List the sites that have work."""

    def open_lane(self, one: Site) -> tuple[Delivery, SiteClient]:
        """Return a site's delivery and its client."""

    def record_reachability(
        self, name: SiteName, reachability: Reachability, error: str = ""
    ) -> None:
        """Record whether a site answered the last call, and its error if not."""

    def drop_orphans(self) -> int:
        """Drop the intents of deleted sites; return how many."""

    def drop_old_events(self, *, keep_s: float, most: int) -> int:
        """Drop events that are too old, or too many of a site; return how many."""

    def retry_in_use(self, lane: SiteName) -> None:
        """Retry what a site refused because something there was in use."""

    def release_dead(self, is_dead: Callable[[str], bool]) -> int:
        """Release the claims of dead workers; return how many intents."""

    def correct_times(self, claim_s: float) -> int:
        """Make due what a clock that was set back has put too far ahead; return how many."""

    def find_restored(self) -> int:
        """Return the epoch of a central that was restored and has recovered; 0 of any other."""

    def open_renewal(self, one: Site) -> Comparing:
        """Prepare to compare what a site holds with what it should."""

    def open_requested(self, one: Site, request: RenewalRequest) -> Comparing:
        """Prepare a comparison that was asked for, and that records how far it is."""


class Stop(Protocol):
    """What tells the main thread to stop."""

    def is_set(self) -> bool:
        """Return whether it is to stop."""

    def wait(self, timeout: float, /) -> bool:
        """Wait until it is to stop, at most some seconds; return whether it is."""


class Supervisor:
    """The main thread's loop."""

    def __init__(self, work: Work) -> None:
        """Prepare the supervisor; no lane is started yet."""
        self._work = work
        self._lanes: dict[SiteName, Lane] = {}
        self._asked: dict[str, tuple[Lane, Comparing]] = {}  #: what was taken on, by id
        self._renew_at: dict[SiteName, float] = {}
        self._turns = Once(LOG, "worker")
        self._beginnings: dict[SiteName, Once] = {}  #: of lanes that cannot begin
        self._restored = 0  #: the epoch for which sites are compared, or were
        self._sites_at = 0.0
        self._sweep_at = 0.0
        self._dead_at = 0.0
        self._in_use_at = 0.0
        self._clock_at = 0.0
        self._eager_until = 0.0

    def run(self, stop: Stop) -> None:
        """Work until told to stop, then let every lane finish the batch in hand."""
        try:
            while not stop.is_set():
                try:
                    self.turn(time.monotonic())
                    self._turns.went_well()
                except errors.IsthmusError as error:  # such as a table that an upgrade is making
                    self._turns.failed(error)
                    stop.wait(_SITES_S)
                except Exception as error:  # noqa: BLE001 - the lanes go on meanwhile
                    self._turns.failed(error, is_bug=True)
                    stop.wait(_SITES_S)
                stop.wait(self.choose_pause(time.monotonic()))
        finally:
            self.end()

    def end(self) -> None:
        """Let every lane finish the batch in hand, and end."""
        self._end(list(self._lanes))

    def turn(self, now: float) -> None:
        """Do what is due at a time of the monotonic clock.

        Raises:
            Transient: the database is busy or away.
        """
        if now >= self._sites_at:
            self._follow_sites(now)
            self._follow_restore(now)
            self._follow_requests()
            self._sites_at = now + _SITES_S
        self._sweep(now)
        for name, at in self._renew_at.items():
            if now >= at:
                self._renew_at[name] = now + (self._work.settings.renewal_sweep_s or math.inf)
                lane = self._lanes[name]
                lane.renew(self._work.open_renewal(lane.site))
        for name in self._work.due_lanes():
            if name in self._lanes:
                self._lanes[name].wake()
                self._eager_until = now + _EAGER_S

    def choose_pause(self, now: float) -> float:
        """Return after how many seconds to look again, at a time of the monotonic clock."""
        pause = self._work.settings.poll_interval_s
        return pause / _EAGER if now < self._eager_until else pause

    def _sweep(self, now: float) -> None:
        """Run the periodic sweeps for what no change announces."""
        if now >= self._sweep_at:
            self._sweep_at = now + self._work.settings.journal_sweep_s
            dropped = self._work.drop_orphans()
            if dropped:
                LOG.info("sweep dropped=%d", dropped)
            self._work.requests.drop_ended()
            kept = self._work.settings
            self._work.drop_old_events(keep_s=kept.keep_events_s, most=kept.most_events)
        if now >= self._dead_at:
            self._dead_at = now + _DEAD_S
            self._work.requests.release_dead(worker_id.is_dead)
            released = self._work.release_dead(worker_id.is_dead)
            if released:
                LOG.info("released=%d claims of dead workers", released)
        if now >= self._clock_at:
            self._clock_at = now + _CLOCK_S
            corrected = self._work.correct_times(self._work.settings.claim_s)
            if corrected:
                LOG.warning("corrected=%d times: the database's clock was set back", corrected)
        if now >= self._in_use_at:
            self._in_use_at = now + _IN_USE_S
            for lane in list(self._lanes):
                self._work.retry_in_use(lane)

    def _follow_sites(self, now: float) -> None:
        wanted = {site.name: site for site in self._work.list_sites()}
        # What was seen of a site changes all the time and needs no new lane.
        gone = [
            name
            for name, lane in self._lanes.items()
            if name not in wanted or wanted[name].region != lane.site.region
        ]
        self._end(gone)
        for name, site in wanted.items():
            if name not in self._lanes:
                try:
                    self._lanes[name] = self._begin(site)
                except Exception as error:  # noqa: BLE001 - the others are served
                    said = Once(LOG, f"lane={name} cannot begin")
                    self._beginnings.setdefault(name, said).failed(error, is_bug=True)
                    continue
                self._beginnings.pop(name, None)
                interval = self._work.settings.renewal_sweep_s
                if self._restored:
                    self._renew_soon(name, now)
                elif interval:
                    # At a time of its own, so that sites do not come all at once.
                    self._renew_at[name] = now + interval * random.random()  # noqa: S311

    def _follow_restore(self, now: float) -> None:
        """Have all sites compared, each at a time of its own, once central has recovered.

        What was recorded for a site and not sent is not in a backup, nor is what the site has let
        go since: no change announces either. A worker that begins later compares them once more,
        and a site that was disabled is compared when it is enabled.
        """
        restored = self._work.find_restored()
        if restored == self._restored:
            return
        self._restored = restored
        if restored:
            for name in self._lanes:
                self._renew_soon(name, now)

    def _renew_soon(self, name: SiteName, now: float) -> None:
        span = max(_RESTORED_S, _EACH_S * len(self._lanes))
        self._renew_at[name] = now + span * random.random()  # noqa: S311

    def _follow_requests(self) -> None:
        """Have sites compared now, because somebody asked for it."""
        lanes = set(self._lanes.values())
        self._asked = {
            name: (lane, renewal)
            for name, (lane, renewal) in self._asked.items()
            if lane in lanes and lane.has_asked(renewal)
        }
        for request in self._work.requests.take(list(self._lanes), list(self._asked)):
            lane = self._lanes[request.site]
            renewal = self._work.open_requested(lane.site, request)
            lane.renew(renewal, asked=True)
            self._asked[request.id] = (lane, renewal)

    def _begin(self, site: Site) -> Lane:
        delivery, client = self._work.open_lane(site)

        def note(reachability: Reachability, error: str) -> None:
            self._work.record_reachability(site.name, reachability, error)

        lane = Lane(
            site,
            delivery=delivery,
            client=client,
            note=note,
            clock=self._work.clock,
            probe_interval_s=self._work.settings.probe_interval_s,
        )
        lane.start()
        LOG.info("lane=%s begins region=%s", site.name, site.region)
        return lane

    def _end(self, names: list[SiteName]) -> None:
        for name in names:
            self._lanes[name].stop()
        if not names:
            return
        deadline = time.monotonic() + self._work.settings.call_timeout_s + _GRACE_S
        for name in names:
            lane = self._lanes.pop(name)
            self._renew_at.pop(name, None)
            if not lane.join(max(0.0, deadline - time.monotonic())):
                LOG.warning("lane=%s did not end in time; its claims expire", name)
            else:
                LOG.info("lane=%s ends", name)
        try:
            self._work.requests.release(names)
        except errors.IsthmusError as error:
            LOG.warning("database: %s; what was asked for waits until the claim expires", error)
