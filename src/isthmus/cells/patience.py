"""How long is waited for what others do."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from isthmus import errors


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits until something is so, as long as a person is willing to."""

    seconds: float
    poll_s: float = 0.5

    def __call__(self, condition: Callable[[], bool], sentence: str) -> None:
        """Wait until a condition holds.

        Raises:
            Stale: it does not in time; with the sentence, which says what is to be done.
        """
        deadline = time.monotonic() + self.seconds
        while not condition():
            if time.monotonic() > deadline:
                raise errors.Stale(sentence)
            time.sleep(self.poll_s)
