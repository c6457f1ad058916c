"""How much of a batch is carried out in one call: no more than lets its answer come within seconds.

Who sent a batch waits for its answer, and nothing else of the lane goes meanwhile. A machine that
is short of time takes ten times as long over each item, so a bound on their number alone does not
bound the answer. What is not reached is left out of it, and its sender sends that again.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

#: After so many seconds no further item of a batch is begun.
ENOUGH_S = 4.0

_T = TypeVar("_T")


class Turn:
    """The time that one call has; the first item is carried out whatever it takes."""

    def __init__(self, *, bounded: bool = True) -> None:
        """Begin.

        Args:
            bounded: whether it ends at all.
        """
        self._until = time.monotonic() + ENOUGH_S if bounded else float("inf")
        self.over = False  #: whether something was left out

    @property
    def spent(self) -> bool:
        """Return whether no more is to be begun."""
        return time.monotonic() >= self._until

    def take(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield items as long as there is time, and one in any case."""
        for number, item in enumerate(items):
            if number and self.spent:
                self.over = True
                return
            yield item
