"""A build without machines: power control and a log that are played."""

import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from isthmus import errors
from isthmus.model.rack.build import BuildEvent
from isthmus.model.rack.machine import Machine


@dataclass
class MemoryLog:
    """Keeps events, and can fail like a builder that is killed."""

    events: list[BuildEvent] = field(default_factory=list)
    killed_after: int | None = None

    def append(self, event: BuildEvent) -> None:
        """Keep an event.

        Raises:
            KeyboardInterrupt: the builder is killed here, before or after it was kept.
        """
        if self.killed_after is not None and len(self.events) >= self.killed_after:
            raise KeyboardInterrupt
        self.events.append(event)


class PlayedPower:
    """Power control that counts, and refuses for some machines."""

    def __init__(self, broken: Iterable[str] = ()) -> None:
        """Bind the machines whose controllers do not answer."""
        self.broken = frozenset(broken)
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def boot_from_network(self, machine: Machine) -> None:
        """Count a power-on.

        Raises:
            Unreachable: this machine's controller is broken.
        """
        with self._lock:
            self.calls.append(machine.name)
        if machine.name in self.broken:
            raise errors.Unreachable(f"the controller {machine.bmc.address} does not answer")


class DirectPool(Executor):
    """Runs at once what it is given, in the thread that gives it."""

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def pick_failing(names: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """Pick the machines of a fleet that fail, at least one."""
    rows = sorted(names)
    return frozenset(random.Random(seed).sample(rows, max(1, round(share * len(rows)))))  # noqa: S311
