"""Time that a test takes, and how much of it the machine was too busy to work for it."""

import time
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

#: Since when, in microseconds, some task has had to wait for a processor (Linux, PSI).
_PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True, slots=True)
class Taken:
    """How long something took."""

    wall_s: float  #: by the clock on the wall
    waited_s: float  #: of that, while a task had to wait for a processor

    @property
    def own_s(self) -> float:
        """Return what it would have taken at least, had no task waited for another one."""
        return self.wall_s - self.waited_s

    @override
    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s, {self.waited_s:.1f} s of it short of processors"


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began, self._waited = time.monotonic(), _read_waited()

    def read(self) -> Taken:
        wall_s = time.monotonic() - self._began
        return Taken(wall_s, min(wall_s, _read_waited() - self._waited))


def _read_waited() -> float:
    """Read for how long tasks have waited since the machine is up; 0 where it does not say."""
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6
