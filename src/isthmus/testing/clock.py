"""A clock that tests own."""

import datetime


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, start: datetime.datetime = datetime.datetime(2026, 1, 1)) -> None:  # noqa: DTZ001
        """Start somewhere; UTC and naive as everywhere."""
        self._now = start

    def now(self) -> datetime.datetime:
        """Return the time."""
        return self._now

    def set(self, now: datetime.datetime) -> None:
        """Set it, forwards or back."""
        self._now = now

    def seconds(self) -> float:
        """Return the time as a number that only grows."""
        return self._now.timestamp()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += datetime.timedelta(seconds=seconds)
