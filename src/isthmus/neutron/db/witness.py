"""The witness: a small file beside a database, which reveals that the database was restored.

It is in Neutron's state directory of each host that serves a tier's API, and remembers the tier's
epoch and the turns in the tier's database, one of which is its own. A database that is behind it
was restored. Backups of the database must not include it.

Its turn advances before anything is said that other tiers rely on, so that no backup is so young
that what was said since is forgotten unnoticed.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from isthmus import errors
from isthmus.store.sql.engine import again_when_busy
from isthmus.store.tiers import epoch as store

LOG = logging.getLogger(__name__)

#: Limit of the database's own text that is passed on, in characters.
_MOST_OF_SQL = 200
#: Length of the column for a witness's id.
_MOST_ID = 32
_Transaction = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness remembers of a database."""

    witness: str  #: the id of this witness, made up with its file
    epoch: int = 0
    life: str = ""  #: of the epoch
    turns: Mapping[str, int] = dataclasses.field(default_factory=dict)  #: by witness

    def is_ahead_of(self, own: store.Epoch, turns: Mapping[str, int]) -> bool:
        """Return whether a database is older than what was seen, or grew out of one that is.

        Args:
            own: its epoch.
            turns: its turns.
        """
        if own.epoch != self.epoch:
            return own.epoch < self.epoch
        if self.life and own.life != self.life:
            return True  # this very epoch was begun once more, by a database that did not know it
        return any(turns.get(one, 0) < turn for one, turn in self.turns.items())

    def is_newer_than(self, other: "Seen") -> bool:
        """Return whether this was seen later; both are of one witness."""
        mine, theirs = self.turns.get(self.witness, 0), other.turns.get(self.witness, 0)
        return (self.epoch, mine) > (other.epoch, theirs)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the database has found."""

    own: store.Epoch
    restored: bool  #: whether it was older than the witness; its epoch has just begun


class _Older(Exception):
    """The database is older than the witness."""


class Witness:
    """The witness of one tier on this host; threads share one."""

    def __init__(self, folder: Path, tier: str) -> None:
        """Set the path; the file is created with the first look."""
        self._tier = tier
        self._path = folder / f"isthmus-{tier}.witness"
        self._latest = Seen(uuid.uuid4().hex)  # while the file cannot be written
        self._writes = True  # as far as is known
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
            Busy: the database could not be asked.
            Inconsistent: the file cannot be this tier's, or the database has not our tables.
        """
        before = self._begun
        with self._looking:
            if self._ended is None or self._ended[0] <= before:
                self._begun += 1
                self._ended = (self._begun, self._attempt(transaction))
            found = self._ended[1]
        if isinstance(found, errors.Inconsistent):
            raise errors.Inconsistent(found.message) from found
        if isinstance(found, Exception):
            # Other tiers are told this: the reason, and not the statement.
            why = str(found).partition("\n")[0][:_MOST_OF_SQL]
            raise errors.Busy(f"the database could not be asked how old it is: {why}") from found
        return found

    def _attempt(self, transaction: _Transaction) -> Look | Exception:
        try:
            return self._look(transaction)
        except Exception as error:  # noqa: BLE001 - for all who wait for this look
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
        return self._newest(self._read())

    def remember(self, seen: Seen) -> None:
        """Update the file, unless it is newer: processes call this in any order."""
        if seen.is_newer_than(self._latest) or seen.witness != self._latest.witness:
            self._latest = seen
        with self._locked():
            found = self._read()
            if found is None or (found.witness == seen.witness and seen.is_newer_than(found)):
                self._write(seen)

    def _open(self) -> Seen:
        """Return what is remembered; make up a file where there is none."""
        found = self._read()
        if found is None:
            with self._locked():
                found = self._read()
                if found is None:
                    self._write(self._latest)
        return self._newest(found)

    def _newest(self, found: Seen | None) -> Seen:
        if found is None:
            return self._latest
        same = found.witness == self._latest.witness
        return self._latest if same and self._latest.is_newer_than(found) else found

    def _read(self) -> Seen | None:
        try:
            found = json.loads(self._path.read_text())
            if not 0 < len(found["witness"]) <= _MOST_ID:
                return None  # the database would not take it, now or ever
            turns = {str(one): int(turn) for one, turn in dict(found["turns"]).items()}
            return Seen(str(found["witness"]), int(found["epoch"]), str(found["life"]), turns)
        except (OSError, OverflowError, RecursionError, ValueError, KeyError, TypeError):
            return None

    def _write(self, seen: Seen) -> None:
        """Write the file, so that a power loss leaves it as it is now or as it was."""
        new = self._path.with_suffix(f".{os.getpid()}.new")
        try:
            with new.open("w") as file:
                json.dump(dataclasses.asdict(seen), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            self._writes = True
        except OSError as error:
            self._complain(error)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a lock against others of this host that update the file, as far as there is one."""
        handle = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o640)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            self._complain(error)
        try:
            yield
        finally:
            if handle is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_UN)  # a child may have the handle as well
                os.close(handle)

    def _complain(self, error: OSError) -> None:
        """Say once that the file cannot be written, until it can be."""
        if self._writes:
            LOG.warning("The witness %s cannot be written: %s", self._path, error)
        self._writes = False


def _before(turns: Mapping[str, int], seen: Seen) -> Mapping[str, int]:
    """Return the turns before this look."""
    return {**turns, seen.witness: turns[seen.witness] - 1}


@functools.cache
def find(folder: Path, tier: str) -> Witness:
    """Return this process's witness of a tier."""
    return Witness(folder, tier)
