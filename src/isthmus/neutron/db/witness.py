"""The witness: a small file beside a database, which reveals that the database was restored.

It is in Neutron's state directory of each host that serves a tier's API, and remembers the tier's
epoch and the turns in the tier's database, one of which is its own. A database that is behind it
was restored. Backups of the database must not include it.

Its turn advances before anything is said that other tiers rely on, so that no backup is so young
that what was said since is forgotten unnoticed.

A process remembers what it has seen as well, whatever becomes of the file: a database is as old as
the older of the two says. Where the file goes, or another comes in its place, while a process runs,
that process says so.
"""

import dataclasses
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
#: Rows of witnesses that are kept, whoever they were of; of more, those that stand still go.
_MOST_ROWS = 50
#: For how many looks of this process, until then.
_IDLE_LOOKS = 10_000
_PUT_BACK = "If the database was put back to a backup meanwhile, run `isthmus restored`"
_Transaction = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the database has found."""

    own: store.Epoch
    restored: bool  #: whether it was older than the witness; its epoch has just begun


class _Older(Exception):
    """The database is older than the witness."""


class _Foreign(Exception):
    """The file has come in the place of this tier's, and is another deployment's."""

    def __init__(self, found: Seen) -> None:
        super().__init__()
        self.found = found


class Witness:
    """The witness of one tier on this host; threads share one."""

    def __init__(self, folder: Path, tier: str, *, patience_s: float = _PATIENCE_S) -> None:
        """Set the path; the file is created with the first look."""
        self._tier = tier
        self._path = folder / f"isthmus-{tier}.witness"
        self._file = WitnessFile(self._path, patience_s=patience_s)
        self._patience_s = patience_s
        self._latest = Seen(_new_id())  # what this process has seen last
        self._is_kept = False  # whether that came from the file: it was there, and was this tier's
        self._put = ""  # the id of the witness that this process has put in a free place
        self._found = ""  # what has become of the file since, for people
        self._shunned = ("", "")  # witness and tier of another's file that cannot be put aside
        self._looked = False  # whether a look of this process has ever succeeded
        self._marked: tuple[int, Mapping[str, int]] = (0, {})  # turns, and after which look
        self._looking = threading.Lock()
        self._begun = 0  # how many looks have begun
        # Which one has ended last, and how.
        self._ended: tuple[int, Look | Exception] | None = None

    @property
    def trouble(self) -> str:
        """Return what is wrong with the file, so that a restore may go unnoticed; "" for nothing.

        What has become of it counts until a new epoch begins, or this process ends.
        """
        return self._found or self._file.trouble

    @property
    def blindness(self) -> str:
        """Return why no look of this process has ever succeeded; "" where one has, or none began.

        Nobody knows then how old the database is: what it gives out may be others' by now.
        """
        ended = self._ended
        if self._looked or ended is None or isinstance(ended[1], Look):
            return ""
        return _show(ended[1])

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
            raise errors.Busy(f"{_NOT_ASKED}: {_show(found)}") from found
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
            look = self._look(transaction)
        except (errors.IsthmusError, db_exc.DBError, sa.exc.TimeoutError) as error:
            return error
        except Exception as error:
            LOG.exception("A look at the database failed for a reason that nobody foresaw")
            return error
        self._looked = True
        try:
            self._prune(transaction)
        except Exception as error:  # noqa: BLE001  (it is done later)
            LOG.warning("Rows of witnesses that are gone stay for now: %s", _show(error))
        return look

    @again_when_busy
    def _look(self, transaction: _Transaction) -> Look:
        try:
            return self._look_once(transaction)
        except db_exc.DBDeadlock as error:  # on MariaDB, or Galera, where two looks collide
            raise errors.Busy(str(error)) from error
        except _Foreign as foreign:
            self._replace(foreign.found)
            raise errors.Busy(f"{self._path} was another deployment's") from foreign

    def _look_once(self, transaction: _Transaction) -> Look:
        own = self._open()
        try:
            with transaction() as connection:
                look, found = self._compare(connection, own.witness)
        except _Older:
            # In a transaction that has read nothing yet, so that whoever changes meanwhile what an
            # epoch changes when it begins is not in its way.
            with transaction() as connection:
                look, found = self._begin(connection, own.witness)
        if look.restored:
            LOG.warning("%s; epoch %d begins", look.own.reason, look.own.epoch)
        self._keep(found)
        if look.own.recovered and own.is_of_another(look.own):  # else the reason says it
            self._tell(
                f"The witness {self._path} knew another database than this one: either is another "
                "deployment's"
            )
        return look

    def _compare(self, connection: sa.Connection, witness: str) -> tuple[Look, Seen]:
        """Advance the turn in the database, then read the file.

        In this order: whatever another process has written into the file by now it has committed.

        Raises:
            _Older: what is remembered is newer.
            _Foreign: the file is another deployment's.
        """
        turns = store.advance_turn(connection, witness)
        own = store.peek(connection) or store.read(connection)
        before = _before(turns, witness)
        if any(one.is_ahead_of(own, before) for one in self._recall_as(witness, own)):
            raise _Older
        return Look(own, restored=False), _see(witness, own, turns)

    def _begin(self, connection: sa.Connection, witness: str) -> tuple[Look, Seen]:
        """Begin a new epoch, unless somebody else has done so, or the database has caught up.

        A node of Galera's may not have applied what this host wrote at another one.
        """
        own = store.read(connection)
        turns = store.advance_turn(connection, witness, latest=True)
        before = _before(turns, witness)
        newer = [one for one in self._recall_as(witness, own) if one.is_ahead_of(own, before)]
        if newer:
            reason = self._explain(another=any(one.is_of_another(own) for one in newer))
            try:
                own = store.begin(connection, reason, above=max(one.epoch for one in newer))
            except errors.Inconsistent as error:
                what = f"{self._path} is not of this tier: {error.message}"
                raise errors.Inconsistent(what) from error
        return Look(own, bool(newer)), _see(witness, own, turns)

    def _explain(self, *, another: bool) -> str:
        whose = "central" if self._tier == "central" else "this site"
        if not another:
            return f"the database of {whose} is older than {self._path}: it was restored"
        return (
            f"the database of {whose} is not the one of which {self._path} knows: it was made "
            "anew, or the file is another deployment's"
        )

    def _recall_as(self, witness: str, own: store.Epoch) -> list[Seen]:
        """Return what is remembered by the witness whose turn has advanced.

        Raises:
            Busy: the file has become another's since; look again.
            _Foreign: it is another deployment's.
        """
        found, mine = self._read(), self._latest
        if (mine if found is None else found).witness != witness:
            raise errors.Busy(f"{self._path} was put in place of another one just now")
        if found is None:
            return [mine]
        if self._is_kept and not mine.is_of_another(own):
            # A process that starts, and has seen nothing yet, makes a file that is nobody's.
            has_begun = bool(found.epoch or found.turns)
            says_less = has_begun and not found.tier and found.witness != mine.witness
            if says_less or found.is_of_another(own):
                raise _Foreign(found)
        return [found, mine]

    def recall(self) -> Seen:
        """Return what is remembered: by the file, or by this process where there is none."""
        return self._newest(self._read())

    def remember(self, seen: Seen) -> None:
        """Update the file, unless it is newer: processes call this in any order.

        Raises:
            Busy: another process does not let go of it.
        """
        if seen.is_newer_than(self._latest) or seen.witness != self._latest.witness:
            self._latest = seen
        if self._file.update(seen) and self._is_kept:
            self._tell_gone()

    def _keep(self, found: Seen) -> None:
        """Remember what a look has found.

        Args:
            found: what it has found.
        """
        before, is_ours = self._latest, found.witness == self._put
        self.remember(found)
        if found.epoch > before.epoch > 0:
            self._found = ""
        elif self._is_kept and found.witness != before.witness and not is_ours:
            self._tell(
                f"The witness {self._path} is another one than when this process began: somebody "
                "removed or replaced it. What this process remembers counts as well"
            )
        if not self._is_kept and is_ours and len(found.turns) > 1:
            LOG.warning(
                "The witness %s is new, and the database knows others. If this host had one "
                "before, what it remembered is forgotten. %s",
                self._path,
                _PUT_BACK,
            )
        self._is_kept = self._is_kept or self._file.read() is not None

    def _tell(self, what: str) -> None:
        self._found = f"{what}. {_PUT_BACK}"
        LOG.error("%s", self._found)

    def _tell_gone(self) -> None:
        self._tell(
            f"The witness {self._path} is gone, which was there when this process began: it is "
            "made anew of what this process remembers"
        )

    def _open(self) -> Seen:
        """Return what is remembered; make up a file where there is none.

        In place of one that is gone another witness comes, so that all processes of the host learn
        of that.
        """
        found = self._file.read()
        if found is not None and self._is_shunned(found):
            self._replace(found)
            found = self._read()
            if found is None:
                return self._latest
        if found is None:
            new = self._rename() if self._is_kept else self._latest
            if self._file.update(new):
                self._put = new.witness
                if self._is_kept:
                    self._tell_gone()
            found = self._file.read()
        return self._newest(found)

    def _rename(self) -> Seen:
        return dataclasses.replace(self._latest, witness=_new_id())

    def _replace(self, foreign: Seen) -> None:
        """Put a file aside that is another deployment's, and begin another one in its place.

        Where that cannot be done, this process remembers instead, and tries again.
        """
        new, what = self._rename(), f"The file {self._path} was replaced by another deployment's"
        if self._file.replace(foreign, new):
            self._put, self._shunned = new.witness, ("", "")
            self._tell(
                f"{what}: it is kept as {self._file.aside}, and made anew of what this process "
                "remembers"
            )
            return
        found = self._file.read()
        if found is None or _whose(found) != _whose(foreign) or self._is_shunned(found):
            return
        self._shunned = _whose(found)
        self._tell(f"{what}, and cannot be put aside: this process remembers instead")

    def _read(self) -> Seen | None:
        """Return what the file says; None also where it is another's that cannot be put aside."""
        found = self._file.read()
        return None if found is None or self._is_shunned(found) else found

    def _is_shunned(self, found: Seen) -> bool:
        return _whose(found) == self._shunned

    def _newest(self, found: Seen | None) -> Seen:
        if found is None:
            return self._latest
        same = found.witness == self._latest.witness
        return self._latest if same and self._latest.is_newer_than(found) else found

    def _prune(self, transaction: _Transaction) -> None:
        """Delete the rows of witnesses that are gone, from time to time, where there are many."""
        since, marked = self._marked
        if self._begun < since + _IDLE_LOOKS:
            return
        turns = self._latest.turns
        self._marked = (self._begun, turns)
        if not marked or len(turns) <= _MOST_ROWS:
            return
        gone = {one for one, turn in turns.items() if marked.get(one) == turn}
        gone -= {self._latest.witness, store.PRUNED}
        with transaction() as connection:
            store.prune(connection, {one: turns[one] for one in gone})


def _whose(found: Seen) -> tuple[str, str]:
    return (found.witness, found.tier)


def _new_id() -> str:
    return uuid.uuid4().hex


def _show(error: Exception) -> str:
    """Return why something failed, as other tiers are told it: the reason, and no statement."""
    return (str(error) or repr(error)).partition("\n")[0][:_MOST_OF_SQL]


def _see(witness: str, own: store.Epoch, turns: Mapping[str, int]) -> Seen:
    return Seen(witness, own.epoch, own.life, turns, own.tier)


def _before(turns: Mapping[str, int], witness: str) -> Mapping[str, int]:
    """Return the turns before this look."""
    return {**turns, witness: turns[witness] - 1}


@functools.cache
def find(folder: Path, tier: str) -> Witness:
    """Return this process's witness of a tier."""
    return Witness(folder, tier)
