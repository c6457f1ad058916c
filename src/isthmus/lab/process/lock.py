"""A lock on a file, which the kernel takes back when its holder ends, however that ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from isthmus import errors

_POLL_S = 0.02


@contextlib.contextmanager
def locked(file: Path, otherwise: str, timeout_s: float = 0) -> Iterator[None]:
    """Hold a lock that excludes other processes, and other threads of this one.

    Args:
        file: stands for what is locked; it is made where it is missing, and stays.
        otherwise: what to say when somebody else holds it.
        timeout_s: how long to wait for that somebody.

    Raises:
        Busy: somebody else holds it, and does so still when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _take(handle):
            if time.monotonic() >= deadline:
                raise errors.Busy(otherwise)
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
