"""Names of workers, in which one that was killed can be recognised.

A claim of a dead worker expires by itself. Where the next worker starts on the same machine, it
need not wait for that.
"""

import os
import uuid
from pathlib import Path

#: A worker's name fits the journal's column: host, process, and a part that is never used again.
_HOST_LENGTH = 40


def new() -> str:
    """Name a worker of this process."""
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


def _host() -> str:
    # Process numbers mean something only inside one namespace of processes.
    space = Path("/proc/self/ns/pid").stat().st_ino
    return f"{os.uname().nodename[: _HOST_LENGTH - 12]}/{space}"
