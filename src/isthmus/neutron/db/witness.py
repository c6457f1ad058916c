"""The witness: a small file beside a database, which reveals that the database was restored.

It is in Neutron's state directory of each host that serves a tier's API, and follows the tier's
epoch and this host's turn in the tier's database. A database that is behind it was restored.
Backups of the database must not include it.

The turn advances before anything is said that other tiers rely on, so that no backup is so young
that what was said since it is forgotten unnoticed.
"""

import contextlib
import fcntl
import functools
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from oslo_log import log as logging

from isthmus.store.tiers import epoch

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """What a witness remembers."""

    epoch: int
    turn: int
    witness: str  #: its id, made up with its file


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the database has found."""

    own: epoch.Epoch
    restored: bool  #: whether it was older than the witness; its epoch has just begun


class Witness:
    """The witness of one tier on this host; threads share one."""

    def __init__(self, folder: Path, tier: str) -> None:
        """Set the path; the file is created when something is written."""
        self._tier = tier
        self._path = folder / f"isthmus-{tier}.witness"
        self._latest = Seen(0, 0, uuid.uuid4().hex)  # while the file cannot be written
        self._looking = threading.Lock()
        self._begun = 0  # how many looks have begun
        self._ended: tuple[int, Look] | None = None  # the newest that has ended well, and its count

    def advance(self, transaction: Callable[[], AbstractContextManager[sa.Connection]]) -> Look:
        """Compare the database with the file, and advance both.

        Threads that call it at once share a look: one that begins after the call serves the caller.

        Args:
            transaction: opens one that writes to the tier's database.
        """
        before = self._begun
        with self._looking:
            if self._ended is not None and self._ended[0] > before:
                return self._ended[1]
            self._begun += 1
            with transaction() as connection:
                look, seen = self._compare(connection)
            self.remember(seen)
            self._ended = (self._begun, look)
            return look

    def _compare(self, connection: sa.Connection) -> tuple[Look, Seen]:
        """Begin a new epoch if the database is behind the file; advance its turn."""
        seen = self.recall()
        turn = epoch.advance_turn(connection, seen.witness)
        own = epoch.peek(connection) or epoch.read(connection)
        restored = (own.epoch, turn - 1) < (seen.epoch, seen.turn)
        if restored:  # unless another host has found that out meanwhile
            own = epoch.read(connection)
            restored = (own.epoch, turn - 1) < (seen.epoch, seen.turn)
        if restored:
            whose = "central" if self._tier == "central" else "this site"
            reason = f"the database of {whose} is older than {self._path}: it was restored"
            own = epoch.begin(connection, reason, above=seen.epoch)
            LOG.warning("%s; epoch %d begins", reason, own.epoch)
        return Look(own, restored), Seen(own.epoch, turn, seen.witness)

    def remember(self, seen: Seen) -> None:
        """Update the file, unless it is newer: processes call this in any order."""
        self._latest = max(self._latest, seen)
        text = json.dumps({"witness": seen.witness, "epoch": seen.epoch, "turn": seen.turn})
        new = self._path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._path.parent):
                found = self._read()
                if found is not None and (found.witness != seen.witness or found >= seen):
                    return
                new.write_text(text)
                new.replace(self._path)
        except OSError as error:
            LOG.warning("The witness %s cannot be written: %s", self._path, error)

    def recall(self) -> Seen:
        """Return what is remembered: by the file, or by this process where there is none."""
        found = self._read()
        if found is None or found.witness == self._latest.witness:
            return max(self._latest, found or self._latest)
        return found

    def _read(self) -> Seen | None:
        try:
            found = json.loads(self._path.read_text())
            return Seen(int(found["epoch"]), int(found["turn"]), str(found["witness"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


@functools.cache
def find(folder: Path, tier: str) -> Witness:
    """Return this process's witness of a tier."""
    return Witness(folder, tier)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock against the other processes, and threads, that update the file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
