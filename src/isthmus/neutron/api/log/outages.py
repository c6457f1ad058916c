"""One line in a log for what is away for the moment, and one when it is over.

A 503 of ours says that something is away for the moment: central, a database, OVN. Neutron logs
every answer of 500 and more with a traceback, though nothing is wrong with the code: while central
is away, a site's log was tracebacks and little else. Here the first is one line; what is the same
is counted; and once it was not met for a while, a line says so, and how often it was.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from typing_extensions import override

from isthmus.model.form import counted, format_age

LOG = logging.getLogger(__name__)

#: What was not met for so long is over, in seconds: clients try again more often.
OVER_S = 60.0
#: What is counted as one: the same words, whatever object they are about.
_VARIES = re.compile(
    r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|\d+",
    re.IGNORECASE,
)
#: How many different ones are remembered; those beyond are logged each time, in one line.
_MOST = 100


@dataclass(slots=True)
class _Outage:
    """One thing that is away."""

    words: str
    first: float
    last: float
    count: int = 1


class Outages:
    """What was answered, and is not over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing.

        Args:
            clock: gives seconds that only grow.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Outage] = {}

    def met(self, words: str) -> bool:
        """Count one; return whether it is to be said."""
        now, key = self._clock(), _VARIES.sub("#", words)
        with self._lock:
            known = self._open.get(key)
            if known is not None:
                known.last, known.count = now, known.count + 1
                return False
            if len(self._open) < _MOST:
                self._open[key] = _Outage(words, now, now)
            return True

    def take_over(self) -> Iterator[str]:
        """Forget what is over, and give a line for each."""
        now = self._clock()
        with self._lock:
            over = [key for key, one in self._open.items() if now - one.last >= OVER_S]
            gone = [self._open.pop(key) for key in over]
        for one in gone:
            quiet, lasted = format_age(now - one.last), format_age(one.last - one.first)
            times = counted(one.count, "time")
            yield (
                f"over, as it seems, not met for {quiet}: answered {times} within {lasted}: "
                f"{one.words}"
            )

    def is_empty(self) -> bool:
        """Tell whether all is over."""
        with self._lock:
            return not self._open


class OneLine(logging.Filter):
    """A filter of Neutron's loggers: what is no 503 of ours passes as it is."""

    def __init__(
        self,
        outages: Outages,
        describe: Callable[[BaseException | None], str | None],
        *,
        watch: bool = True,
    ) -> None:
        """Filter.

        Args:
            outages: what was said already.
            describe: gives the words for an error that is a 503 of ours; None for any other.
            watch: whether a thread looks what is over, while anything is not.
        """
        super().__init__()
        self._outages = outages
        self._describe = describe
        self._watch = watch
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        words = self._describe(error)
        if words is None:
            return True
        first = self._outages.met(words)
        if self._watch:
            self._ensure_thread()
        record.msg = "%s answered 503 (%s); the same again is counted, not logged"
        record.args = (_read_action(record.args), words)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return first

    def _ensure_thread(self) -> None:
        """Look from now on; made where it is needed, since a process that is forked has none."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._look, name="isthmus-outages", daemon=True
                )
                self._thread.start()

    def _look(self) -> None:
        waiting = threading.Event()
        while not self._outages.is_empty():
            waiting.wait(OVER_S / 4)
            for line in self._outages.take_over():
                LOG.warning("503 %s", line)


def _read_action(args: object) -> str:
    """Return what was asked for, as Neutron's line had it."""
    if isinstance(args, Mapping):
        return str(args.get("action", "a request"))
    return str(args[0]) if isinstance(args, tuple) and args else "a request"
