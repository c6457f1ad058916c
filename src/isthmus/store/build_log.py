"""The log of a build: one line of JSON per event, appended and flushed before anybody acts on it.

A file and no database: it is written by one builder, read by any number of watchers while it grows,
and must be complete after a power failure. A torn last line is cut off, because nobody has acted on
it yet.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from isthmus import errors
from isthmus.model.rack.build import BuildEvent, Happening

_NAME = "events.jsonl"
_LOCK = "lock"


def _parse(line: bytes, number: int, path: Path) -> BuildEvent:
    try:
        row = json.loads(line)
        return BuildEvent(
            at=float(row["at"]),
            kind=Happening(row["kind"]),
            node=str(row.get("node", "")),
            detail=str(row.get("detail", "")),
            fields={str(key): str(value) for key, value in row.get("fields", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise errors.Inconsistent(
            f"line {number} of {path} is not an event of a build: {exc}; restore the file from a "
            "copy, or remove the line"
        ) from exc


class BuildLogReader:
    """Reads a log that may be growing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._offset = 0
        self._line = 0

    def read_new(self) -> list[BuildEvent]:
        """Return the events appended since the last call; an incomplete line waits for the next.

        Raises:
            Inconsistent: a line is not an event.
        """
        try:
            with self._path.open("rb") as source:
                source.seek(self._offset)
                data = source.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        found = []
        for line in whole.splitlines():
            self._line += 1
            found.append(_parse(line, self._line, self._path))
        self._offset += len(whole)
        return found


class BuildLog:
    """Appends to a log; one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open a build's folder for writing; create it if it does not exist.

        Raises:
            Busy: another builder has locked it.
            Invalid: the folder cannot be written.
        """
        try:
            # Files in it are ours alone; nginx's workers pass through it to what it serves.
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise errors.Invalid(f"{folder} cannot be written: {exc.strerror}") from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._lock)
            raise errors.Busy(
                f"another builder works in {folder}; watch it with isthmus build watch"
            ) from exc
        self._path = folder / _NAME
        self._mutex = threading.Lock()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._mend()

    def _mend(self) -> None:
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            data = self._path.read_bytes()
            os.ftruncate(self._file, data.rfind(b"\n") + 1)

    def append(self, event: BuildEvent) -> None:
        """Write an event, and return when the disk has it."""
        row = {key: value for key, value in dataclasses.asdict(event).items() if value}
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        with self._mutex:
            os.write(self._file, line)
            os.fdatasync(self._file)

    def read_all(self) -> Iterator[BuildEvent]:
        """Return every event.

        Raises:
            Inconsistent: a line is no event.
        """
        for number, line in enumerate(self._path.read_bytes().splitlines(), start=1):
            yield _parse(line, number, self._path)

    def close(self) -> None:
        """Release the lock for another builder."""
        with contextlib.suppress(OSError):
            os.close(self._file)
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
