"""How often a site may ask for something that costs central more than it costs the site."""

import threading
import time
from collections.abc import Callable

from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.model.site import SiteName


class Rate:
    """So many calls a second of each site, and some at once; of one process."""

    def __init__(
        self, *, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Bind it.

        Args:
            per_s: calls a second that may go on for ever.
            burst: calls at once, by a site that was quiet.
            clock: gives the time in seconds.
        """
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left: dict[SiteName, tuple[float, float]] = {}  # what is left, and when it was
        self._lock = threading.Lock()

    def count(self, site: SiteName) -> None:
        """Count a call.

        Raises:
            Busy: there were too many.
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
    """The rates of this process, one for each call, as central's configuration says."""

    def __init__(self) -> None:
        """Begin with none: a call's first use reads the configuration."""
        self._rates: dict[str, Rate] = {}
        self._lock = threading.Lock()

    def count(self, site: SiteName, call: str) -> None:
        """Count a call of a site.

        Args:
            site: who calls.
            call: which call.

        Raises:
            Busy: there were too many of them.
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
    """At most one turn in so many seconds; of one process."""

    def __init__(self, *, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Bind it; the first turn is at once.

        Args:
            every_s: seconds between two turns.
            clock: gives the time in seconds.
        """
        self._every_s = every_s
        self._clock = clock
        self._next: float | None = None
        self._lock = threading.Lock()

    def is_time(self) -> bool:
        """Tell whether it is time for a turn; if so, the caller takes it."""
        with self._lock:
            now = self._clock()
            if self._next is not None and now < self._next:
                return False
            self._next = now + self._every_s
            return True
