"""The answer of Neutron's maintenance worker to the questions of `pulse`.

The worker brings back what OVN lost and upgrades its rows, within minutes; without it all goes on,
and nothing is brought back. Neutron has no sign of its life that others can read, so the process
writes down the number of the newest question, as everybody else does who is asked. Of several
workers the one does that has Neutron's lock in NB: the others do no work either.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from isthmus import errors
from isthmus.dataplane.protocols import Database, Tables

_LOG = logging.getLogger(__name__)

#: external_ids key of NB_Global under which the number stands.
ANSWER_KEY: Final = "isthmus:maintenance"
#: How often one looks for a question, in what is in memory; seconds.
_LOOK_S = 1.0
#: How long to wait after a failure, in seconds.
_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Write down the number of a question."""

    row_id: Any  #: uuid of the one row of NB_Global
    number: int

    @override
    def __str__(self) -> str:
        return f"answer question {self.number} of whether the maintenance worker lives"

    def write(self, tables: Tables) -> None:
        """Write it."""
        row = tables.find("NB_Global", self.row_id, "uuid")
        if row is not None:
            row.setkey("external_ids", ANSWER_KEY, str(self.number))


class Answerer:
    """Answers, in a thread of its own, for as long as its process lives."""

    def __init__(self, connect: Callable[[], tuple[Database, Callable[[], bool]]]) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            connect: gives the northbound database, and what tells whether this process has the lock
                of the maintenance workers there; may wait for them.
        """
        self._connect = connect
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._run, name="isthmus-answer", daemon=True).start()

    def stop(self) -> None:
        """Have the thread end."""
        self._stopping.set()

    def _run(self) -> None:
        pause_s = _LOOK_S
        while not self._stopping.wait(pause_s):
            try:
                nb, has_lock = self._connect()
                pause_s = self.beat(nb) if has_lock() else _LOOK_S
            except errors.Transient as error:
                _LOG.warning("OVN is answered again in %.0f s: %s", _AGAIN_S, error)
                pause_s = _AGAIN_S
            except Exception:  # noqa: BLE001  (a worker's loop)
                _LOG.exception("OVN is answered again in %.0f s", _AGAIN_S)
                pause_s = _AGAIN_S

    def beat(self, nb: Database) -> float:
        """Answer the newest question, unless that is done; return when to look again."""
        refused: list[str] = []
        for row in list(nb.rows("NB_Global")):  # there is one
            number = int(row.nb_cfg)
            if row.external_ids.get(ANSWER_KEY) != str(number):
                refused += nb.commit([Answer(row.uuid, number)])
        for one in refused:
            _LOG.warning("%s", one)
        return _AGAIN_S if refused else _LOOK_S
