"""The witness: a small file beside a database, which reveals that the database was restored.

It is in Neutron's state directory of each host that serves a tier's API, and follows the epoch and
the turn of the tier's database. A database that is behind it was restored. Backups of the database
must not include it.
"""

import json
import os
import threading
from pathlib import Path

import sqlalchemy as sa
from oslo_log import log as logging

from isthmus.store.tiers import epoch

LOG = logging.getLogger(__name__)

#: One thread of a process at a time; processes each write a file of their own and rename it.
_writing = threading.Lock()


class Witness:
    """The witness of one tier on this host."""

    def __init__(self, folder: Path, tier: str) -> None:
        """Set the path; the file is created when something is written."""
        self._tier = tier
        self._path = folder / f"isthmus-{tier}.witness"
        self._latest = (0, 0)  # while the file cannot be written

    def compare(self, connection: sa.Connection) -> epoch.Epoch:
        """Begin a new epoch if the database is behind the witness; advance its turn.

        The caller commits, then passes the result to `remember`.
        """
        own = epoch.read(connection)
        seen = self._recall()
        if (own.epoch, own.turn) < seen:
            whose = "central" if self._tier == "central" else "this site"
            reason = f"the database of {whose} is older than {self._path}: it was restored"
            own = epoch.begin(connection, reason, above=seen[0])
            LOG.warning("%s; epoch %d begins", reason, own.epoch)
        return epoch.tick(connection)

    def remember(self, own: epoch.Epoch) -> None:
        """Update the file to the database's state, unless the file is newer.

        Threads call this in any order, each with what it read before.
        """
        self._latest = max(self._latest, (own.epoch, own.turn))
        new = self._path.with_suffix(f".{os.getpid()}.new")
        with _writing:
            if (own.epoch, own.turn) < self._recall():
                return
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                new.write_text(json.dumps({"epoch": own.epoch, "turn": own.turn}))
                new.replace(self._path)
            except OSError as error:
                LOG.warning("The witness %s cannot be written: %s", self._path, error)

    def _recall(self) -> tuple[int, int]:
        try:
            found = json.loads(self._path.read_text())
            return max(self._latest, (int(found["epoch"]), int(found["turn"])))
        except (OSError, ValueError, KeyError, TypeError):
            return self._latest
