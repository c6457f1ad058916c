"""A circuit breaker: a link that is down costs the first caller a time-out, the others nothing.

While it is open, calls made for a waiting tenant fail at once. Only a caller who has time (a
background thread) may probe, each time a little later, until the link answers again.
"""

import threading
import time
from collections.abc import Callable

#: Seconds until the first probe, and between later ones at most: a healed link is noticed in this.
FIRST_PROBE_S = 0.5
LAST_PROBE_S = 5.0


class Breaker:
    """Whether a link may be used now; safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start closed.

        Args:
            clock: gives seconds that only grow.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._wait_s = 0.0
        self._probe_at = 0.0
        self._why = ""

    @property
    def open(self) -> bool:
        """Tell whether the link counts as down."""
        with self._lock:
            return self._wait_s > 0

    @property
    def why(self) -> str:
        """What the last failed call said; "" while the link counts as up."""
        with self._lock:
            return self._why

    def admits(self, *, probe: bool) -> bool:
        """Tell whether a call may go out.

        Args:
            probe: whether the caller has time to find out that the link is still down. One caller
                at a time is let through.
        """
        with self._lock:
            if not self._wait_s:
                return True
            if not probe or self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._wait_s
            return True

    def succeeded(self) -> None:
        """Record an answer, whatever it says."""
        with self._lock:
            self._wait_s = 0.0
            self._why = ""

    def failed(self, why: str) -> None:
        """Record that nobody answered."""
        with self._lock:
            self._wait_s = min(LAST_PROBE_S, self._wait_s * 2 if self._wait_s else FIRST_PROBE_S)
            self._probe_at = self._clock() + self._wait_s
            self._why = why
