"""Names of workers, in which one that was killed can be recognised.

A claim of a dead worker expires by itself. Where the next worker starts on the same machine, it
need not wait for that.
"""

import functools
import hashlib
import os
import uuid
from pathlib import Path

#: What a name begins with is for people; names of hosts may be long and differ at their ends only.
_HOST_LENGTH = 14
#: Of the hash that tells hosts apart, in hexadecimal digits.
_HASH_LENGTH = 16
#: Where the kernel keeps what changes with each start of the machine.
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def new() -> str:
    """Return the name of a worker of this process."""
    return f"{_host()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_dead(name: str) -> bool:
    """Tell whether a worker is known to be dead: a process of this machine that is gone."""
    host, _, rest = name.rpartition(":")[0].rpartition(":")
    if host != _host() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _is_zombie(rest)


def _is_zombie(process: str) -> bool:
    """Tell whether a process has ended and only waits for its parent to notice."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    # The second field is the name, in parentheses and with anything in it; the third the state.
    return text.rpartition(")")[2].split()[0] in {"Z", "X"}


@functools.cache
def _host() -> str:
    """Return what process ids belong to: one namespace of one run of one host.

    A worker's name fits the journal's column of 64: host, process, a part that is never used again.
    """
    space = Path("/proc/self/ns/pid").stat().st_ino
    host = os.uname().nodename
    return f"{host[:_HOST_LENGTH]}/{_hash(host, _read_boot(), space)}"


def _hash(host: str, boot: str, space: int) -> str:
    return hashlib.sha256(f"{host}/{boot}/{space}".encode()).hexdigest()[:_HASH_LENGTH]


def _read_boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
