"""Who of a real OVN has answered: real databases and northd, killed and stopped."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from isthmus.dataplane.alive.pulse import Pulse
from isthmus.dataplane.rows import OvnRows
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = pytest.mark.ovn

#: How often it is asked here, in seconds; who has owed an answer for a few of them is behind.
EVERY_S = 0.3
BEHIND_S = 1.5


class Watch:
    """A pulse in a thread of the test's own."""

    def __init__(self, rows: OvnRows) -> None:
        self.pulse = Pulse(lambda: rows, EVERY_S)
        self._rows = rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S / 3):
            self.pulse.beat(self._rows)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def find_behind(self) -> set[str]:
        report = self.pulse.report()
        named: dict[str, Any] = {
            key: report[key] for key in ("northbound", "southbound", "northd")
        } | {one["name"]: one for one in report["hypervisors"]}
        return {name for name, one in named.items() if (one["behind_s"] or 0) > BEHIND_S}

    def wait_for(self, *behind: str) -> None:
        until(lambda: self.find_behind() == set(behind), what=f"{behind} behind", timeout_s=60)


@pytest.fixture
def watch(rows: OvnRows) -> Iterator[Watch]:
    found = Watch(rows)
    until(lambda: (found.pulse.report()["northd"]["answered_s"]) is not None, what="northd")
    yield found
    found.close()


def _send(databases: OvnDatabases, name: str, number: signal.Signals) -> None:
    os.kill(int((databases.folder / f"{name}.pid").read_text()), number)


@pytest.fixture
def stop(databases: OvnDatabases) -> Iterator[Callable[[str], None]]:
    stopped: list[str] = []

    def act(name: str) -> None:
        stopped.append(name)
        _send(databases, name, signal.SIGSTOP)

    yield act
    for name in stopped:
        _send(databases, name, signal.SIGCONT)


def test_a_living_ovn_is_behind_with_nothing(watch: Watch) -> None:
    watch.wait_for()
    assert watch.pulse.report()["northbound"]["error"] == ""


def test_northd_that_dies_is_behind_alone_and_comes_back(
    watch: Watch, databases: OvnDatabases, rows: OvnRows
) -> None:
    databases.kill("northd")
    watch.wait_for("northd")
    watch.pulse.touch(rows)
    watch.wait_for("northd")  # alone: SB takes a write
    databases.start("northd")
    watch.wait_for()


def test_northd_that_hangs_is_behind_alone(
    watch: Watch, databases: OvnDatabases, stop: Callable[[str], None]
) -> None:
    stop("northd")
    watch.wait_for("northd")
    _send(databases, "northd", signal.SIGCONT)
    watch.wait_for()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_northbound_database_that_is_away_is_behind(
    watch: Watch, databases: OvnDatabases, stop: Callable[[str], None], how: str
) -> None:
    if how == "killed":
        databases.kill("nb")
    else:
        stop("nb")
    until(lambda: "northbound" in watch.find_behind(), what="NB to be behind", timeout_s=60)
    if how == "killed":
        databases.start("nb")
    else:
        _send(databases, "nb", signal.SIGCONT)
    until(lambda: watch.find_behind() == set(), what="all to answer", timeout_s=120)


def test_a_southbound_database_that_hangs_is_told_apart_from_northd(
    watch: Watch, databases: OvnDatabases, stop: Callable[[str], None], rows: OvnRows
) -> None:
    stop("sb")
    # As a pulse does it: SB is asked once northd owes an answer, and cannot be read meanwhile.
    watch.wait_for("northd")
    touching = threading.Thread(target=watch.pulse.touch, args=(rows,))
    touching.start()
    try:
        watch.wait_for("northd", "southbound")
    finally:
        _send(databases, "sb", signal.SIGCONT)
        touching.join()
    watch.wait_for()


def test_a_hypervisor_without_a_controller_is_behind_and_one_of_another_site_is_not_there(
    watch: Watch, databases: OvnDatabases
) -> None:
    found = (("hv1", "192.0.2.1", ""), ("far", "192.0.2.2", "other_config:is-remote=true"))
    for name, address, config in found:
        databases.sbctl("chassis-add", name, "geneve", address)
        chassis = databases.sbctl("--bare", "--columns=_uuid", "find", "Chassis", f"name={name}")
        databases.sbctl("create", "Chassis_Private", f"name={name}", f"chassis={chassis}")
        if config:
            databases.sbctl("set", "Chassis", name, config)
    watch.wait_for("hv1")
    until(lambda: [one["name"] for one in watch.pulse.report()["hypervisors"]] == ["hv1"])

    def answer() -> bool:
        """As its controller does: down goes the number that NB has now."""
        asked = databases.nbctl("get", "NB_Global", ".", "nb_cfg")
        databases.sbctl("set", "Chassis_Private", "hv1", f"nb_cfg={asked}")
        return watch.find_behind() == set()

    until(answer, what="hv1 to be heard", timeout_s=60)


def test_a_number_of_which_nobody_has_asked_is_no_answer(
    watch: Watch, databases: OvnDatabases
) -> None:
    databases.sbctl("chassis-add", "hv1", "geneve", "192.0.2.1")
    chassis = databases.sbctl("--bare", "--columns=_uuid", "find", "Chassis", "name=hv1")
    databases.sbctl("create", "Chassis_Private", "name=hv1", f"chassis={chassis}", "nb_cfg=1000000")
    watch.wait_for("hv1")
