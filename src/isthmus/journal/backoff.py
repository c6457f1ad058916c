"""How long to wait before trying again: pure arithmetic.

Two waits exist. A failed *attempt* at one object delays that object. An unanswered call says
nothing about the object, so it delays the *lane*: after each wait one small probe goes out before
the backlog follows. (A breaker is another thing: what keeps many callers off a link that is down.)
"""

from dataclasses import dataclass, replace

#: Exponents above this change nothing but would overflow a float in a row that failed for years.
_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential delays with jitter, in seconds."""

    first_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 60.0
    jitter: float = 0.3  #: largest share taken off, so that many rows do not come back together

    def delay_s(self, failures: int, uniform: float) -> float:
        """Return the delay after the n-th failure in a row.

        Args:
            failures: 1 after the first.
            uniform: a random number from 0 to 1.
        """
        doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
        return min(self.cap_s, self.first_s * self.factor**doublings) * (1 - self.jitter * uniform)


#: For objects that the other side could not take yet.
ATTEMPTS = Backoff()
#: For lanes that do not answer: a healed link is noticed within this cap.
PROBES = Backoff(first_s=0.5, cap_s=5.0)


@dataclass(frozen=True, slots=True)
class LaneWait:
    """How long a lane is left alone after calls that nobody answered."""

    failures: int = 0
    retry_at_s: float | None = None  #: on a clock that only grows

    def allows(self, now_s: float) -> bool:
        """Tell whether the lane may be tried."""
        return self.retry_at_s is None or now_s >= self.retry_at_s

    @property
    def probing(self) -> bool:
        """Tell whether the next call is a probe, to be kept small."""
        return self.failures > 0

    def failed(self, now_s: float, uniform: float, backoff: Backoff = PROBES) -> "LaneWait":
        """Wait longer after one more unanswered call.

        Args:
            now_s: the time of the failure, on a clock that only grows.
            uniform: a random number from 0 to 1.
            backoff: how waits grow.
        """
        failures = self.failures + 1
        return replace(
            self, failures=failures, retry_at_s=now_s + backoff.delay_s(failures, uniform)
        )
