"""The link between two tiers: it may be cut, lose answers, be late, or bring a call twice."""

import contextlib
import enum
from collections.abc import Callable
from typing import Any

from isthmus import errors


class Weather(enum.Enum):
    """What happens to one call."""

    FINE = "fine"
    CUT = "cut"  #: it never arrives
    LOST = "lost"  #: it is carried out, the answer is lost
    LATE = "late"  #: the caller gives up; it arrives some time later
    TWICE = "twice"  #: it is carried out twice


class Died(BaseException):
    """A process was killed here."""


class Link:
    """Carries calls as the weather is."""

    def __init__(self) -> None:
        self.weather = Weather.FINE
        self.late: list[Callable[[], Any]] = []  #: calls that are still on their way
        self.dies_after: int | None = None  #: the receiver is killed after so many steps of its own
        self.meanwhile: Callable[[], None] | None = None  #: or it is slow there, and this happens

    def step(self) -> None:
        """Pass a step of the receiver, between two of its transactions."""
        if self.dies_after is None:
            return
        if self.dies_after == 0:
            self.dies_after = None
            if self.meanwhile is None:
                raise Died
            self.meanwhile()
            return
        self.dies_after -= 1

    def call(self, work: Callable[[], Any]) -> Any:
        """Make a call.

        Raises:
            Unreachable, TimedOut: as the weather is.
        """
        match self.weather:
            case Weather.CUT:
                raise errors.Unreachable("cut")
            case Weather.LATE:
                self.late.append(work)
                raise errors.TimedOut("late")
            case Weather.LOST:
                self._carry(work)
                raise errors.TimedOut("lost")
            case Weather.TWICE:
                self._carry(work)
            case Weather.FINE:
                pass
        return self._carry(work)

    def arrive(self, which: int) -> None:
        """Let a late call arrive; nobody hears the answer."""
        work = self.late.pop(which % len(self.late))
        with contextlib.suppress(errors.IsthmusError):
            self._carry(work)

    def _carry(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Died as error:
            raise errors.Unreachable("the other side died") from error
