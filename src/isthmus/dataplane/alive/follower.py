"""Who is asked for an answer again and again, and since when one owes it. Pure.

OVN counts: each question has a greater number (`nb_cfg`), and whoever has done all that was wanted
up to it writes the number down. So an answer tells of all questions before it, too.
"""

from collections import deque
from dataclasses import dataclass, field

#: How many questions without an answer are kept: the oldest tells since when, the rest how soon
#: each was answered after all.
_MOST_OPEN = 64


@dataclass(slots=True)
class Follower:
    """One that is to answer."""

    since: float  #: when it was seen first
    reached: int = 0  #: the greatest number that it wrote down
    answered_at: float | None = None  #: when an answer was seen last
    took_s: float = 0.0  #: how long it took to give that one
    _open: deque[tuple[int, float]] = field(default_factory=deque)

    def ask(self, number: int, now: float) -> None:
        """Note that it is asked.

        Args:
            number: of the question; one that was asked before, or is answered, asks nothing.
            now: seconds that only grow.
        """
        newest = self._open[-1][0] if self._open else self.reached
        if number <= newest:
            return
        if len(self._open) == _MOST_OPEN:  # neither the oldest nor the newest
            del self._open[_MOST_OPEN // 2]
        self._open.append((number, now))

    def reach(self, number: int, now: float) -> None:
        """Note the number that it has written down.

        Args:
            number: as it was read just now; a smaller one than before is that of a new database,
                in which all is asked anew.
            now: seconds that only grow.
        """
        if number < self.reached:
            self._open.clear()
        asked_at = None
        while self._open and self._open[0][0] <= number:
            asked_at = self._open.popleft()[1]
        if number > self.reached:
            self.answered_at = now
        self.reached = number
        if asked_at is not None:
            self.answered_at = now
            self.took_s = now - asked_at

    def count_behind(self, now: float) -> float | None:
        """Return how long it has owed an answer, in seconds; None where it owes none."""
        return now - self._open[0][1] if self._open else None

    def to_dict(self, now: float) -> dict[str, float | None]:
        """Return all of it as ages in seconds: clocks of others do not matter then."""
        behind = self.count_behind(now)
        return {
            "behind_s": None if behind is None else round(behind, 1),
            "answered_s": None if self.answered_at is None else round(now - self.answered_at, 1),
            "took_s": round(self.took_s, 1),
            "watched_s": round(now - self.since, 1),
        }
