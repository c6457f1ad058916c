"""Remove a lab: everything that its ledger lists, and nothing else."""

import contextlib
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from isthmus import errors
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.protocols import Tools
from isthmus.lab.tier.maker import MARKER
from isthmus.model.host.process import ProcessId

#: A killed process is gone at once, save where it hangs in the kernel; seconds.
GONE_TIMEOUT_S = 20
_POLL_S = 0.02


def take_down(folder: Path, tools: Tools) -> int:
    """Remove a lab.

    Args:
        folder: the lab's.
        tools: what to do it with.

    Returns:
        How many processes were still alive.

    Raises:
        NotFound: there is no such lab.
        StepFailed: something is still there.
    """
    made = Ledger(folder).read()
    listed = [running.process for running in made.programs.values()]
    alive = _kill(tools, listed)
    # What was started and not yet written down when `lab up` was killed carries the lab's marker.
    alive += _kill(tools, list(tools.processes.find_marked(MARKER, str(folder))))
    servers = [str(row["netns"]) for row in (*made.servers.values(), *made.guests.values())]
    for netns in [*servers, *made.netns]:
        _remove_netns(tools, netns)
    shutil.rmtree(folder)
    return alive


def _kill(tools: Tools, processes: Iterable[ProcessId]) -> int:
    hit = [process for process in processes if tools.processes.send(process, signal.SIGKILL)]
    deadline = time.monotonic() + GONE_TIMEOUT_S
    for process in hit:
        while tools.processes.is_alive(process):
            if time.monotonic() > deadline:
                raise errors.StepFailed(
                    f"pid {process.pid} does not die; it may hang in the kernel"
                )
            time.sleep(_POLL_S)
    return len(hit)


def _remove_netns(tools: Tools, netns: str) -> None:
    # Written down before it was made: it may not be there.
    with contextlib.suppress(FileNotFoundError):
        if (Path("/run/netns") / netns).exists():
            tools.run(["ip", "netns", "delete", netns])
