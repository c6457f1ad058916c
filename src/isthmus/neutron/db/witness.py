"""The witness: a small file beside a database, which reveals that the database was restored.

It is in Neutron's state directory of each host that serves a tier's API, and remembers the tier's
epoch and the turns in the tier's database, one of which is its own. A database that is behind it
was restored. Backups of the database must not include it.

Its turn advances before anything is said that other tiers rely on, so that no backup is so young
that what was said since is forgotten unnoticed.
"""

import functools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from isthmus import errors
from isthmus.neutron.db.witness_file import Seen, WitnessFile
from isthmus.store.sql.engine import again_when_busy
from isthmus.store.tiers import epoch as store

__all__ = ["Look", "Seen", "Witness", "find"]

LOG = logging.getLogger(__name__)

#: Limit of the database's own text that is passed on, in characters.
_MOST_OF_SQL = 200
#: How long a look of another thread, or another process's hold on the file, is waited for, in
#: seconds.
_PATIENCE_S = 20.0
_NOT_ASKED = "the database could not be asked how old it is"
_Transaction = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the database has found."""

    own: store.Epoch
    restored: bool  #: whether it was older than the witness; its epoch has just begun


class _Older(Exception):
    """The database is older than the witness."""


class Witness:
    """The witness of one tier on this host; threads share one."""

    def __init__(self, folder: Path, tier: str, *, patience_s: float = _PATIENCE_S) -> None:
        """Set the path; the file is created with the first look."""
        self._tier = tier
        self._path = folder / f"isthmus-{tier}.witness"
        self._file = WitnessFile(self._path, patience_s=patience_s)
        self._patience_s = patience_s
        self._latest = Seen(uuid.uuid4().hex)  # while the file cannot be read or written
        self._looking = threading.Lock()
        self._begun = 0  # how many looks have begun
        # Which one has ended last, and how.
        self._ended: tuple[int, Look | Exception] | None = None

    def advance(self, transaction: _Transaction) -> Look:
        """Compare the database with the file, and advance both.

        Threads that call it at once share a look: one that begins after the call serves the caller.

        Args:
            transaction: opens one that writes to the tier's database, and nothing else.

        Raises:
            Busy: the database could not be asked, or others have been asking it for too long.
            Inconsistent: the file cannot be this tier's, or the database has not our tables.
        """
        before = self._begun
        with self._looking_alone():
            if self._ended is None or self._ended[0] <= before:
                self._begun += 1
                self._ended = (self._begun, self._attempt(transaction))
            found = self._ended[1]
        if isinstance(found, errors.Inconsistent):
            raise errors.Inconsistent(found.message) from found
        if isinstance(found, Exception):
            # Other tiers are told this: the reason, and not the statement.
            why = (str(found) or repr(found)).partition("\n")[0][:_MOST_OF_SQL]
            raise errors.Busy(f"{_NOT_ASKED}: {why}") from found
        return found

    @contextmanager
    def _looking_alone(self) -> Iterator[None]:
        if not self._looking.acquire(timeout=self._patience_s):
            raise errors.Busy(f"{_NOT_ASKED}: another thread has waited for it for too long")
        try:
            yield
        finally:
            self._looking.release()

    def _attempt(self, transaction: _Transaction) -> Look | Exception:
        """Look; return the error if that fails, for all who wait for this look."""
        try:
            return self._look(transaction)
        except (errors.IsthmusError, db_exc.DBError, sa.exc.TimeoutError) as error:
            return error
        except Exception as error:
            LOG.exception("A look at the database failed for a reason that nobody foresaw")
            return error

    @again_when_busy
    def _look(self, transaction: _Transaction) -> Look:
        try:
            return self._look_once(transaction)
        except db_exc.DBDeadlock as error:  # on MariaDB, or Galera, where two looks collide
            raise errors.Busy(str(error)) from error

    def _look_once(self, transaction: _Transaction) -> Look:
        own = self._open().witness
        try:
            with transaction() as connection:
                look, found = self._compare(connection, own)
        except _Older:
            # In a transaction that has read nothing yet, so that whoever changes meanwhile what an
            # epoch changes when it begins is not in its way.
            with transaction() as connection:
                look, found = self._begin(connection, own)
        if look.restored:
            LOG.warning("%s; epoch %d begins", look.own.reason, look.own.epoch)
        self.remember(found)
        return look

    def _compare(self, connection: sa.Connection, witness: str) -> tuple[Look, Seen]:
        """Advance the turn in the database, then read the file.

        In this order: whatever another process has written into the file by now it has committed.

        Raises:
            _Older: what the file remembers is newer.
        """
        turns = store.advance_turn(connection, witness)
        seen = self._recall_as(witness)
        own = store.peek(connection) or store.read(connection)
        if seen.is_ahead_of(own, _before(turns, seen)):
            raise _Older
        return Look(own, restored=False), Seen(seen.witness, own.epoch, own.life, turns)

    def _begin(self, connection: sa.Connection, witness: str) -> tuple[Look, Seen]:
        """Begin a new epoch, unless somebody else has done so, or the database has caught up.

        A node of Galera's may not have applied what this host wrote at another one.
        """
        own = store.read(connection)
        turns = store.advance_turn(connection, witness, latest=True)
        seen = self._recall_as(witness)
        restored = seen.is_ahead_of(own, _before(turns, seen))
        if restored:
            whose = "central" if self._tier == "central" else "this site"
            reason = f"the database of {whose} is older than {self._path}: it was restored"
            try:
                own = store.begin(connection, reason, above=seen.epoch)
            except errors.Inconsistent as error:
                what = f"{self._path} is not of this tier: {error.message}"
                raise errors.Inconsistent(what) from error
        return Look(own, restored), Seen(seen.witness, own.epoch, own.life, turns)

    def _recall_as(self, witness: str) -> Seen:
        """Return what is remembered by the witness whose turn has advanced.

        Raises:
            Busy: the file has become another's since; look again.
        """
        seen = self.recall()
        if seen.witness != witness:
            raise errors.Busy(f"{self._path} was put in place of another one just now")
        return seen

    def recall(self) -> Seen:
        """Return what is remembered: by the file, or by this process where there is none."""
        return self._newest(self._file.read())

    def remember(self, seen: Seen) -> None:
        """Update the file, unless it is newer: processes call this in any order.

        Raises:
            Busy: another process does not let go of it.
        """
        if seen.is_newer_than(self._latest) or seen.witness != self._latest.witness:
            self._latest = seen
        self._file.update(seen)

    def _open(self) -> Seen:
        """Return what is remembered; make up a file where there is none."""
        found = self._file.read()
        if found is None:
            self._file.update(self._latest)
            found = self._file.read()
        return self._newest(found)

    def _newest(self, found: Seen | None) -> Seen:
        if found is None:
            return self._latest
        same = found.witness == self._latest.witness
        return self._latest if same and self._latest.is_newer_than(found) else found


def _before(turns: Mapping[str, int], seen: Seen) -> Mapping[str, int]:
    """Return the turns before this look."""
    return {**turns, seen.witness: turns[seen.witness] - 1}


@functools.cache
def find(folder: Path, tier: str) -> Witness:
    """Return this process's witness of a tier."""
    return Witness(folder, tier)
