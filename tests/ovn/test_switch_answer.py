"""Open vSwitch of a hypervisor that hangs, and who says so to its site's OVN: the real programs."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest
from tests.ovn.test_pulse_rows import Watch

from isthmus.dataplane.rows import OvnRows
from isthmus.federation.audits.audit_pulse import check_pulse
from isthmus.model.dataplane.ovn import SWITCH
from isthmus.model.site import SiteName
from isthmus.testing.hypervisor import Hypervisor, missing_programs
from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.ovn, pytest.mark.root]
#: How often the question is looked for, and how long a program may take to answer; seconds.
QUICK = {"EVERY": "0.2", "LIMIT": "1"}


@pytest.fixture
def host(databases: OvnDatabases) -> Iterator[Hypervisor]:
    skip_without(missing_programs())
    prefix = f"sw{os.getpid() % 100000}"
    sb = databases.sb_remote
    with Hypervisor(databases.folder, prefix, "h1", sb, "172.30.9.1/24") as made:
        yield made


@pytest.fixture
def answerer(host: Hypervisor) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start the program as on a hypervisor; all that were started are killed."""
    (socket,) = host.folder.glob("ovs-vswitchd.*.ctl")
    folders = {"OVS_RUNDIR": str(host.folder), "OVN_RUNDIR": str(host.folder)}
    script = resources.files("isthmus.services") / "answer_switch.sh"
    running: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        found = {**os.environ, **folders, **QUICK, "VSWITCHD": str(socket)}
        running.append(subprocess.Popen(["sh", str(script)], env=found))
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.wait()


@pytest.fixture
def watch(rows: OvnRows, host: Hypervisor) -> Iterator[Watch]:
    found = Watch(rows)
    until(lambda: found.pulse.report()["hypervisors"], what=f"{host.chassis} in OVN")
    yield found
    found.close()


def _report(watch: Watch) -> dict[str, Any]:
    (found,) = watch.pulse.report()["hypervisors"]
    return dict(found)


def _answers(watch: Watch) -> bool:
    """Tell whether somebody has answered for Open vSwitch, and owes nothing."""
    found = _report(watch)
    owes = (found["agents"].get(SWITCH) or {"behind_s": 9.0})["behind_s"]
    return not found["switch_silent"] and (owes or 0.0) < 2.0


@pytest.mark.parametrize(
    ("pidfile", "program", "short"),
    [("vswitchd", "ovs-vswitchd", "vswitchd"), ("db", "ovsdb-server", "ovsdb")],
)
def test_who_hangs_is_named_while_ovn_controller_answers_and_is_forgotten_behind_that(
    watch: Watch,
    host: Hypervisor,
    databases: OvnDatabases,
    answerer: Callable[[], subprocess.Popen[bytes]],
    pidfile: str,
    program: str,
    short: str,
) -> None:
    host_row = ("Chassis_Private", host.chassis, "external_ids:of-others=kept")
    databases.sbctl("set", *host_row)
    answerer()
    until(lambda: _answers(watch), what="an answer for Open vSwitch", timeout_s=60)
    pid = int((host.folder / f"{pidfile}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: _report(watch)["switch_silent"] == program, what=program, timeout_s=60)
        until(
            lambda: (_report(watch)["agents"][SWITCH]["behind_s"] or 0.0) > 2.0,
            what="an answer that is owed",
            timeout_s=60,
        )
        pulse = watch.pulse.report()
        (found,) = pulse["hypervisors"]
        found["agents"][SWITCH]["behind_s"] = 40.0  # as after so long
        (verdict,) = check_pulse(SiteName("one"), pulse)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (verdict.code, verdict.message) == ("ovn.vswitch.silent", f"{program} does not answer")
    assert f"`isthmus lab start h1.{short}`" in verdict.remedy
    assert f"`isthmus lab kill h1.{short}`" in verdict.remedy
    until(lambda: _answers(watch), what="an answer again", timeout_s=60)


def test_one_that_hangs_before_anybody_has_ever_answered_is_named(
    watch: Watch, host: Hypervisor, answerer: Callable[[], subprocess.Popen[bytes]]
) -> None:
    pid = int((host.folder / "vswitchd.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        answerer()
        until(lambda: _report(watch)["switch_silent"] == "ovs-vswitchd", timeout_s=60)
        until(lambda: SWITCH in _report(watch)["agents"], timeout_s=60)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: _answers(watch), what="an answer", timeout_s=60)


def test_who_asks_and_ends_owes_an_answer_and_where_nobody_ever_asked_nobody_owes_one(
    watch: Watch, host: Hypervisor, answerer: Callable[[], subprocess.Popen[bytes]]
) -> None:
    until(lambda: _report(watch)["answered_s"] is not None, what="ovn-controller")
    assert SWITCH not in _report(watch)["agents"], host.chassis
    one = answerer()
    until(lambda: _answers(watch), what="an answer for Open vSwitch", timeout_s=60)
    one.kill()
    until(lambda: not _answers(watch), what="an answer that is owed", timeout_s=60)
    assert _report(watch)["switch_silent"] == ""
    answerer()
    until(lambda: _answers(watch), what="an answer again", timeout_s=60)
