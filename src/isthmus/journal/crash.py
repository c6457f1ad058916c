"""Crash points: places where tests end or pause the process to show that nothing is lost.

A process dies wherever it happens to be, and it can be slow anywhere: others go on meanwhile. The
steps between which it matters are named here, and a test names one in the environment; anywhere
else the call does nothing.

A thread that pauses makes the file `paused` in a folder and goes on once there is a file `go`. Only
the thread that passes the point the n-th time pauses; the rest of the process goes on. A process
that has such a folder also looks for a file `at` there, which names the point at which the next
thread is to pause; so one process can be paused again and again, at one point after the other.
"""

import contextlib
import os
import threading
import time
from pathlib import Path

from isthmus.model.resource import RESOURCES

VARIABLE = "ISTHMUS_CRASH_AT"  #: "<point>", or "<point>:<n>" for the n-th time it is passed
EXIT_CODE = 137  #: what a shell reports of a process that was killed with SIGKILL (128 + 9)
PAUSE = "ISTHMUS_PAUSE_AT"  #: the same form
PAUSE_FOLDER = "ISTHMUS_PAUSE_DIR"  #: where a paused process says so, and waits to be let go
AT = "at"
PAUSED = "paused"
GO = "go"

_LOOK_INTERVAL_S = 0.01

#: Every crash point and the one file, below `src/isthmus`, that passes it. Add yours here.
POINTS: tuple[tuple[str, str], ...] = (
    ("delivery.claimed", "journal/engine.py"),  # rows are claimed, nothing read yet
    ("delivery.read", "journal/engine.py"),  # the wanted state is read, nothing sent yet
    ("delivery.delivered", "journal/engine.py"),  # the other side has it, the row still stands
    ("delivery.settled", "journal/engine.py"),  # the row is settled
    # Central: it is the site that registered last which calls; nothing is done for it yet.
    ("central.call.heard", "neutron/central/site_api/caller.py"),
    # Central: a network is placed, nothing committed yet; it is, and the site does not know it.
    ("central.bundle.before_commit", "neutron/central/presence.py"),
    ("central.bundle.committed", "neutron/central/presence.py"),
    # Central: the port that a site reports was looked for; it is not there, and made next.
    ("central.report.sought", "neutron/central/site_api/report/take.py"),
    ("central.report.unknown", "neutron/central/site_api/report/take.py"),
    # Central: the port that a site reports is read, and nothing of it changed yet.
    ("central.report.read", "neutron/central/site_api/report/take.py"),
    # Central: the change of a merged report has read the port, and written nothing yet.
    ("central.report.merging", "neutron/central/plugin.py"),
    # Central: the port is made, changed, removed, but its location is not recorded yet.
    ("central.report.created", "neutron/central/site_api/report/take.py"),
    ("central.report.updated", "neutron/central/site_api/report/merging.py"),
    ("central.report.removed", "neutron/central/site_api/report/take.py"),
    ("central.report.before_commit", "neutron/central/site_api/report/following.py"),
    # Central: a person's change is allowed, and not made yet.
    ("central.change.asked", "neutron/central/refusals.py"),
    ("central.removal.asked", "neutron/central/plugin.py"),
    # Central: everything is taken, the site does not know it; the answer to Xjob is not given.
    ("central.report.taken", "neutron/central/site_api/report/take.py"),
    # Central: whether it waits for the site is read; what the site names is believed next.
    ("registration.begun", "neutron/central/site_api/registration.py"),
    ("central.desired.read", "neutron/central/site_api/desired.py"),
    # A site, carrying out what central said:
    ("apply.admitted", "neutron/local/materialise.py"),  # the batch is new enough
    # An object was looked for; it is not here, and made next.
    *((f"apply.{one}.sought", f"neutron/local/resource/{one}.py") for one in RESOURCES),
    # It is made; rules of a group, and who may use it, are to come.
    *((f"apply.{one}.made", f"neutron/local/resource/{one}.py") for one in RESOURCES),
    ("apply.network.removed", "neutron/local/resource/network.py"),
    ("apply.subnet.removed", "neutron/local/resource/subnet.py"),
    ("apply.router.joined", "neutron/local/resource/router.py"),  # to one network, others to come
    ("apply.router.gateway", "neutron/local/resource/router.py"),  # routes and rows to come
    ("apply.router.removed", "neutron/local/resource/router.py"),
    ("apply.port.merged", "neutron/local/resource/port.py"),  # what is agreed on is not noted yet
    ("apply.port.removed", "neutron/local/resource/port.py"),
    ("apply.trunk.untied", "neutron/local/trunk/subports.py"),  # subports, still in the trunk
    ("apply.trunk.emptied", "neutron/local/trunk/subports.py"),  # they are in it no more
    ("apply.trunk.removed", "neutron/local/resource/trunk.py"),
    ("apply.shadows", "neutron/local/materialise.py"),  # taken; OVN follows
    ("apply.done", "neutron/local/materialise.py"),  # one item, nobody told yet
    # A site, and its leases:
    ("lease.answered", "neutron/local/lease/keeper.py"),  # leased at central, not known here yet
    ("lease.set_aside", "neutron/local/lease/giving.py"),  # out of use here, leased at central
    ("recall.cut_out", "neutron/local/lease/giving.py"),  # asked back, central has no answer yet
    ("lease.given_back", "neutron/local/lease/giving.py"),  # free at central, not noted here
    # A site, telling central of a port:
    ("report.taken", "neutron/local/report/carrier.py"),  # central has it; not agreed on here yet
)

_NAMES = frozenset(name for name, _ in POINTS)
_lock = threading.Lock()
_passed: dict[tuple[str, str], int] = {}


def point(name: str) -> None:
    """End or pause the process here if the environment asks for it.

    It ends without any clean-up.

    Args:
        name: one of `POINTS`.
    """
    assert name in _NAMES, f"unknown crash point {name!r}"
    if _is_here(VARIABLE, name):
        os._exit(EXIT_CODE)
    folder = os.environ.get(PAUSE_FOLDER)
    if folder and (_is_here(PAUSE, name) or _is_asked_for(Path(folder), name)):
        _pause(Path(folder))


def _is_here(variable: str, name: str) -> bool:
    """Tell whether a variable means this pass of a point."""
    wanted = os.environ.get(variable)
    if not wanted:
        return False
    wanted_name, _, nth = wanted.partition(":")
    if wanted_name != name:
        return False
    with _lock:
        _passed[variable, name] = _passed.get((variable, name), 0) + 1
        return _passed[variable, name] == int(nth or 1)


def _is_asked_for(folder: Path, name: str) -> bool:
    """Tell whether the file in the folder means this point; of several threads, one pauses."""
    try:
        if (folder / AT).read_text() != name:
            return False
        (folder / AT).rename(folder / PAUSED)
    except FileNotFoundError:
        return False
    return True


def _pause(folder: Path) -> None:
    """Wait until somebody says go, or has removed the folder: nobody is left to say it."""
    with contextlib.suppress(FileNotFoundError):
        (folder / PAUSED).touch()
    while folder.exists() and not (folder / GO).exists():
        time.sleep(_LOOK_INTERVAL_S)
    for name in (PAUSED, GO):
        (folder / name).unlink(missing_ok=True)
