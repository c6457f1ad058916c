"""A circuit breaker for each cell: who has just not answered is not asked for a while.

A question that hangs keeps its thread, and no further one is asked until it has ended: so a cell
that hangs costs one thread, and a budget once in a while, however many lists are asked for.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


@dataclass(slots=True)
class _State:
    failures: int = 0
    not_before: float = 0.0
    asking: int = 0
    why: str = ""


class Breakers:
    """What is known of cells that did not answer; for as many threads as there are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet.

        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def admit(self, cell: str) -> str:
        """Admit a question to a cell; return why it is not to be asked, empty where it is.

        Whoever is admitted calls `settle` once the question has ended, however late.
        """
        with self._lock:
            state = self._states.setdefault(cell, _State())
            if state.failures and state.asking:
                return f"{state.why}, and that question still waits"
            left = state.not_before - self._clock()
            if state.failures and left > 0:
                return f"{state.why}; it is asked again in {left:.0f} s"
            state.asking += 1
            return ""

    def settle(self, cell: str) -> None:
        """Note that a question has ended."""
        with self._lock:
            self._states[cell].asking -= 1

    def record_answer(self, cell: str) -> None:
        """Note that a cell has answered: it is asked as before."""
        with self._lock:
            state = self._states[cell]
            state.failures, state.not_before, state.why = 0, 0.0, ""

    def record_silence(self, cell: str, why: str) -> None:
        """Note that a cell has not answered: it is left alone, twice as long each time."""
        with self._lock:
            state = self._states.setdefault(cell, _State())
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(state.failures, 10))
            state.failures += 1
            state.not_before, state.why = self._clock() + pause, why
