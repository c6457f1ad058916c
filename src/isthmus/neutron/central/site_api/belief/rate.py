"""Rate limits for calls that cost central more than they cost the site."""

import threading
import time
from collections.abc import Callable

from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.model.site import SiteName


class Rate:
    """A rate limit per site, with a burst; per process."""

    def __init__(
        self, *, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Initialise the limit.

        Args:
            per_s: sustained calls a second.
            burst: calls at once, by a site that was quiet.
            clock: returns the time in seconds.
        """
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left: dict[SiteName, tuple[float, float]] = {}  # what is left, and at which time
        self._lock = threading.Lock()

    def count(self, site: SiteName) -> None:
        """Count a call.

        Raises:
            Busy: the limit is exceeded.
        """
        with self._lock:
            now = self._clock()
            left, at = self._left.get(site, (float(self._burst), now))
            left = min(float(self._burst), left + (now - at) * self._per_s)
            if left < 1:
                self._left[site] = (left, now)
                raise errors.Busy(
                    f"site {site} asks more often than {self._per_s:g} times a second: try later"
                )
            self._left[site] = (left - 1, now)


class Rates:
    """The rate limits of this process, one for each call, from central's configuration."""

    def __init__(self) -> None:
        """Initialise empty: a call's first use reads the configuration."""
        self._rates: dict[str, Rate] = {}
        self._lock = threading.Lock()

    def count(self, site: SiteName, call: str) -> None:
        """Count a call of a site.

        Args:
            site: the caller.
            call: the name of the call.

        Raises:
            Busy: the limit is exceeded.
        """
        with self._lock:
            rate = self._rates.get(call)
            if rate is None:
                options = read_central(cfg.CONF)
                rate = self._rates[call] = Rate(
                    per_s=options.site_calls_per_s, burst=options.site_calls_at_once
                )
        rate.count(site)


class Pace:
    """At most one turn in an interval; per process."""

    def __init__(self, *, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Initialise; the first turn is due at once.

        Args:
            every_s: seconds between two turns.
            clock: returns the time in seconds.
        """
        self._every_s = every_s
        self._clock = clock
        self._next: float | None = None
        self._lock = threading.Lock()

    def is_time(self) -> bool:
        """Return whether a turn is due; if so, the caller takes it."""
        with self._lock:
            now = self._clock()
            if self._next is not None and now < self._next:
                return False
            self._next = now + self._every_s
            return True
