"""Whether those answer this site without whom it goes on, and should not: central, its database.

That central's Xjob reaches the site says nothing of the other way: a route back may be missing, or
the site's login not hold at central. Then the site goes on, what it makes is not reported, and its
leases run out. So each API process asks central for a small answer now and then, for which Neutron
and Keystone of central have to work, and tells since when none has come.

A database on a full disk or a read-only file system, or in which somebody holds a lock, is read as
ever and takes no write: the site would look well. So each API process writes into it as often.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from isthmus import errors
from isthmus.dataplane.alive.follower import Follower

LOG = logging.getLogger(__name__)

#: How often each is asked, in seconds: one that is silent is to be named within a minute.
EVERY_S = 15.0
#: The key of the database in the part "pulse" of the holdings; central's is its name.
DATABASE = "database"
#: How often where it owes an answer.
_AGAIN_S = 3.0
#: How long `stop` waits for the thread, in seconds.
_STOP_S = 5.0


class PeerPulse:
    """Asks one, in a thread of its own, and tells since when it owes an answer."""

    def __init__(
        self, name: str, check: Callable[[], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Initialise; nothing runs before `start`.

        Args:
            name: of who is asked.
            check: asks for a small answer; raises where there is none.
            clock: gives seconds that only grow.
        """
        self._name = name
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._follower = Follower(since=clock())
        self._error = ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        self._thread = threading.Thread(
            target=self._run, name=f"isthmus-{self._name}-pulse", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; a call that hangs is not waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stopping.wait(self.beat()):
            pass

    def beat(self) -> float:
        """Ask; return after how many seconds to ask again."""
        with self._lock:
            self._follower.ask(self._follower.reached + 1, self._clock())
        try:
            self._check()
        except errors.IsthmusError as error:
            return self._note(str(error.fields.get("detail") or error.message))
        except Exception as error:  # the boundary of a worker loop
            LOG.exception("The %s is asked again whether it answers", self._name)
            return self._note(repr(error))
        with self._lock:
            self._error = ""
            self._follower.reach(self._follower.reached + 1, self._clock())
        return EVERY_S

    def _note(self, error: str) -> float:
        with self._lock:
            self._error = error.partition("\n")[0]
        return _AGAIN_S

    def report(self) -> dict[str, Any]:
        """Return what `Follower.to_dict` gives, and the last error."""
        with self._lock:
            return {**self._follower.to_dict(self._clock()), "error": self._error}
