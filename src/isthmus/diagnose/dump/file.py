"""A dump as a file: written where nothing is yet, for its owner alone; read up to a limit."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus import errors
from isthmus.diagnose.dump.form import Dump, parse_dump, write_dump


def write_new_file(file: Path, collect: Callable[[], Dump]) -> Dump:
    """Write what is collected to a file that only its owner reads; nothing stays if that fails.

    Raises:
        Exists: the file is there.
        Invalid: it cannot be written.
        IsthmusError: of what collects.
    """
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise errors.Exists(f"{file} is there already: say another one") from error
    except OSError as error:
        raise errors.Invalid(f"cannot write {file}: {error.strerror}") from error
    with contextlib.ExitStack() as undo, os.fdopen(number, "wb") as into:
        undo.callback(file.unlink)
        dump = collect()
        write_dump(dump, into)
        undo.pop_all()
    return dump


def read_file(file: Path) -> Dump:
    """Read a dump.

    Raises:
        Invalid: it cannot be read, is none, or is not whole.
    """
    try:
        with file.open("rb") as packed, _without_collecting():
            return parse_dump(str(file), packed)
    except OSError as error:
        raise errors.Invalid(f"cannot read {file}: {error.strerror}") from error


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Keep Python from looking for garbage among millions of rows, which stay until the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
