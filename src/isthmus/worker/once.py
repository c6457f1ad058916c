"""Logs an error once, however often it is met: a database that is away is met each second."""

import logging


class Once:
    """What was said of one thing that fails again and again."""

    def __init__(self, log: logging.Logger, subject: str) -> None:
        """Begin with nothing said.

        Args:
            log: where it is said.
            subject: what fails, for people.
        """
        self._log = log
        self._subject = subject
        self._said: tuple[type[Exception], str] | None = None

    def failed(self, error: Exception, *, is_bug: bool = False) -> None:
        """Say an error, unless it was the last one said and nothing went well since.

        Args:
            error: which one; handled just now.
            is_bug: say it with its traceback.
        """
        said = (type(error), str(error))
        if said == self._said:
            return
        self._said = said
        if is_bug:
            self._log.error("%s bug", self._subject, exc_info=error)
        else:
            self._log.warning("%s database: %s", self._subject, error)

    def went_well(self) -> None:
        """Say that it goes on, if an error was said."""
        if self._said is not None:
            self._said = None
            self._log.info("%s goes on", self._subject)
