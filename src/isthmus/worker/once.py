"""Logs an error once an hour, however often it is met: a lost database is met each second."""

import logging
import time
from collections.abc import Callable

#: After how many seconds an error that stays is logged again: logs are rotated.
_AGAIN_S = 3600.0


class Once:
    """What was said of one thing that fails again and again."""

    def __init__(
        self,
        log: logging.Logger,
        subject: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing said.

        Args:
            log: where it is said.
            subject: what fails, for people.
            clock: returns the time in seconds.
        """
        self._log = log
        self._subject = subject
        self._clock = clock
        self._said_at = 0.0
        self._said: tuple[type[Exception], str] | None = None

    def failed(self, error: Exception, *, is_bug: bool = False) -> None:
        """Log an error, unless it was said within the last hour and nothing went well since.

        Args:
            error: which one; handled just now.
            is_bug: say it with its traceback.
        """
        said = (type(error), str(error))
        now = self._clock()
        if said == self._said and now < self._said_at + _AGAIN_S:
            return
        self._said, self._said_at = said, now
        if is_bug:
            self._log.error("%s bug", self._subject, exc_info=error)
        else:
            self._log.warning("%s database: %s", self._subject, error)

    def went_well(self) -> None:
        """Log that it goes on, if an error was said."""
        if self._said is not None:
            self._said = None
            self._log.info("%s goes on", self._subject)
