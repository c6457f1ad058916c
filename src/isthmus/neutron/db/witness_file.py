"""What a witness remembers, and the file that keeps it for all processes of a host."""

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oslo_log import log as logging

from isthmus import errors
from isthmus.store.tiers import epoch as store

LOG = logging.getLogger(__name__)

#: Length of the column for a witness's id.
_MOST_ID = 32
#: How often a trouble that stays is said again, in seconds: logs are rotated.
_SAID_AGAIN_S = 3600.0
#: How often the lock is tried while another process has it, in seconds.
_TRIED_AGAIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness remembers of a database."""

    witness: str  #: the id of this witness, made up with its file
    epoch: int = 0
    life: str = ""  #: of the epoch
    turns: Mapping[str, int] = dataclasses.field(default_factory=dict)  #: by witness
    tier: str = ""  #: tells its database from all others; "" where an older version wrote it

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
        pruned = turns.get(store.PRUNED, 0)
        return any(turns.get(one, pruned) < turn for one, turn in self.turns.items())

    def is_of_another(self, own: store.Epoch) -> bool:
        """Return whether another database was seen: not this one, nor one that it was before."""
        return bool(self.tier) and self.tier != own.tier

    def is_newer_than(self, other: "Seen") -> bool:
        """Return whether this was seen later; both are of one witness."""
        mine, theirs = self.turns.get(self.witness, 0), other.turns.get(self.witness, 0)
        return (self.epoch, mine) > (other.epoch, theirs)


class _Odd(Exception):
    """The file is there, and says nothing that a witness would."""


class WitnessFile:
    """The file of one tier's witness on this host; processes share it."""

    def __init__(self, path: Path, *, patience_s: float) -> None:
        """Set the path.

        Args:
            path: of the file.
            patience_s: how long to wait for another process that updates it, in seconds.
        """
        self.path = path
        self._patience_s = patience_s
        # Each is said for itself: what cannot be locked can perhaps be written.
        self._unread = _Trouble(path, "read: it stays as it is, and this process remembers instead")
        self._unlocked = _Trouble(path, "locked by its file: its folder is")
        self._lockless = _Trouble(path, "locked: a process that is late may write what is older")
        self._unwritten = _Trouble(
            path,
            "written: if every process of this host ends before it can be, a database that was put "
            "back to a backup may look as new as it was",
        )

    def read(self) -> Seen | None:
        """Return what it says; None where it is not there, or says nothing that can be used."""
        try:
            return self._load()
        except (_Odd, OSError):
            return None

    @property
    def trouble(self) -> str:
        """Return what cannot be done with it just now, for people; "" for nothing."""
        return self._unwritten.said or self._unread.said

    def update(self, seen: Seen) -> bool:
        """Write what was seen, unless the file is newer, or another's; make it up where it is none.

        What cannot be understood is put aside, and what cannot be read is left alone.

        Returns:
            Whether there was none, so that it was made up.

        Raises:
            Busy: another process does not let go of it.
        """
        with self._locked():
            try:
                found = self._load()
                if found is None:
                    return self._write(seen)
                if found.witness == seen.witness and seen.is_newer_than(found):
                    self._write(seen)
            except _Odd as odd:
                return self._put_aside(odd) and self._write(seen)
            except OSError:
                pass
            return False

    def replace(self, foreign: Seen, seen: Seen) -> bool:
        """Put a file aside that is another deployment's, and write what was seen in its place.

        Args:
            foreign: what the file says; if it says anything else by now, it stays.
            seen: what takes its place.

        Returns:
            Whether that has taken its place.

        Raises:
            Busy: another process does not let go of it.
        """
        with self._locked():
            try:
                return self._load() == foreign and self._move() and self._write(seen)
            except (_Odd, OSError):
                return False

    def _load(self) -> Seen | None:
        """Return what it says; None where it is not there.

        Raises:
            OSError: it is there, and cannot be read.
            _Odd: it does not parse.
        """
        try:
            text = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._unread.say(error)
            raise
        self._unread.is_over()
        try:
            found = json.loads(text)
            if not 0 < len(found["witness"]) <= _MOST_ID:
                raise _Odd("its id is none")  # the database would not take it, now or ever
            turns = {str(one): int(turn) for one, turn in dict(found["turns"]).items()}
            said = str(found["witness"]), int(found["epoch"]), str(found["life"])
            return Seen(*said, turns, str(found.get("tier", "")))
        except (OverflowError, RecursionError, ValueError, KeyError, TypeError) as error:
            raise _Odd(repr(error)) from error

    @property
    def aside(self) -> Path:
        """Return where a file is put that is none, or another deployment's."""
        return self.path.with_suffix(".bad")

    def _move(self) -> bool:
        """Put the file aside; return whether its place is free."""
        try:
            self.path.replace(self.aside)
        except OSError as error:
            self._unwritten.say(error)
            return False
        return True

    def _put_aside(self, odd: _Odd) -> bool:
        """Put a file aside that does not parse; return whether its place is free."""
        if not self._move():
            return False
        LOG.warning(
            "The witness %s says nothing that can be understood (%s). It is kept as %s, and what "
            "it remembered is forgotten: if the database was put back to a backup, run `isthmus "
            "restored`",
            self.path,
            odd,
            self.aside,
        )
        return True

    def _write(self, seen: Seen) -> bool:
        """Write the file, so that a power loss leaves it as it is now or as it was.

        Returns:
            Whether it could be written.
        """
        new = self.path.with_suffix(f".{os.getpid()}.new")
        try:
            with new.open("w") as file:
                json.dump(dataclasses.asdict(seen), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            self._unwritten.say(error)
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            return False
        self._unwritten.is_over()
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a lock against others of this host that update the file, as far as there is one.

        Raises:
            Busy: another process does not let go of it.
        """
        handle = self._open_lock()
        try:
            if handle is not None:
                self._wait_for(handle)
            yield
        finally:
            if handle is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_UN)  # a child may have the handle as well
                os.close(handle)

    def _open_lock(self) -> int | None:
        """Open what is locked: a file beside it, or else its folder."""
        lock = self.path.with_suffix(".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o640)
            except OSError:
                handle = os.open(lock, os.O_RDONLY)  # does as well
            self._unlocked.is_over()
            return handle
        except OSError as error:
            self._unlocked.say(error)
        try:  # as all processes of this user do, and one that is late writes nothing older
            return os.open(lock.parent, os.O_RDONLY)
        except OSError:
            return None

    def _wait_for(self, handle: int) -> None:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise errors.Busy(f"another process does not let go of {self.path}") from error
            except OSError as error:  # a file system that has no locks
                self._lockless.say(error)
                return
            time.sleep(_TRIED_AGAIN_S)


class _Trouble:
    """Something that cannot be done with the file; said now and then while it stays so."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._again_at: float | None = None
        self.said = ""  #: what, while it stays so

    def say(self, error: OSError) -> None:
        """Log it, unless that was done lately."""
        self.said = f"The witness {self._path} ({error}) cannot be {self._what}"
        now = time.monotonic()
        if self._again_at is None or now >= self._again_at:
            self._again_at = now + _SAID_AGAIN_S
            LOG.warning("%s", self.said)

    def is_over(self) -> None:
        """Note that it can be done."""
        self._again_at = None
        self.said = ""
