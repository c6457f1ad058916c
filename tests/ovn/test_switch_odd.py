"""Who asks Open vSwitch on a hypervisor, where things are otherwise than they should be."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
from tests.ovn.test_pulse_rows import Watch
from tests.ovn.test_switch_answer import QUICK, _answers, _report, answerer, host, watch

from isthmus.federation.audits.audit_pulse import check_pulse
from isthmus.model.dataplane.ovn import SWITCH
from isthmus.model.site import SiteName
from isthmus.testing.hypervisor import Hypervisor
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.ovn, pytest.mark.root]

__all__ = ["answerer", "host", "watch"]

Start = Callable[[], subprocess.Popen[bytes]]


@contextmanager
def hung(host: Hypervisor, pidfile: str = "vswitchd") -> Iterator[None]:
    pid = int((host.folder / f"{pidfile}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _owes(watch: Watch, seconds: float) -> bool:
    return (_report(watch)["agents"][SWITCH]["behind_s"] or 0.0) > seconds


def test_two_of_them_at_once_and_one_started_anew_change_nothing_of_since_when(
    watch: Watch, host: Hypervisor, answerer: Start
) -> None:
    one = answerer()
    until(lambda: _answers(watch), what="an answer", timeout_s=60)
    with hung(host):
        until(lambda: _owes(watch, 2.0), what="an answer that is owed", timeout_s=60)
        answerer()  # knows nothing of the first one
        until(lambda: _owes(watch, 6.0), what="it is owed for longer", timeout_s=60)
        one.kill()
        answerer()
        until(lambda: _owes(watch, 9.0), what="it is owed for longer still", timeout_s=60)
        assert _report(watch)["switch_silent"] == "ovs-vswitchd"
    until(lambda: _answers(watch), what="an answer again", timeout_s=60)


def test_a_hypervisor_that_is_given_another_name_answers_by_that(
    watch: Watch, host: Hypervisor, databases: OvnDatabases, answerer: Start
) -> None:
    answerer()
    until(lambda: _answers(watch), what="an answer", timeout_s=60)
    name = 'h 2"x'
    host.vsctl("set", "Open_vSwitch", ".", f"external_ids:system-id={json.dumps(name)}")
    databases.sbctl("chassis-del", host.chassis)  # OVN gives no address to a second one

    def is_known() -> bool:
        return [one["name"] for one in watch.pulse.report()["hypervisors"]] == [name]

    until(is_known, what="another chassis", timeout_s=60)
    until(lambda: _answers(watch), what="an answer by it", timeout_s=60)


def test_what_a_hypervisor_made_of_a_backup_answers_is_of_now(
    watch: Watch, host: Hypervisor, databases: OvnDatabases, answerer: Start
) -> None:
    answerer()
    until(lambda: _answers(watch), what="an answer", timeout_s=60)
    backup = (databases.folder / "sb.db").read_bytes()
    number = int(databases.sbctl("get", "SB_Global", ".", "nb_cfg"))
    until(lambda: int(databases.sbctl("get", "SB_Global", ".", "nb_cfg")) > number + 5)
    databases.kill("sb")
    (databases.folder / "sb.db").write_bytes(backup)
    databases.start("sb")
    until(lambda: _answers(watch), what="an answer into the backup", timeout_s=60)
    with hung(host):
        until(lambda: _owes(watch, 2.0), what="an answer that is owed", timeout_s=60)
        assert _report(watch)["switch_silent"] == "ovs-vswitchd"
    until(lambda: _answers(watch), what="an answer again", timeout_s=60)


def test_what_it_does_not_run_any_more_is_forgotten_as_the_remedy_says(
    watch: Watch, host: Hypervisor, databases: OvnDatabases, answerer: Start
) -> None:
    one = answerer()
    until(lambda: _answers(watch), what="an answer", timeout_s=60)
    with hung(host):
        until(lambda: _report(watch)["switch_silent"] != "", what="its word", timeout_s=60)
        one.kill()
        one.wait()
    until(lambda: _owes(watch, 3.0), what="an answer that is owed", timeout_s=60)
    pulse = watch.pulse.report()
    (found,) = pulse["hypervisors"]
    found["agents"][SWITCH]["behind_s"] = found["switch_asked"]["behind_s"] = 40.0
    (verdict,) = check_pulse(SiteName("one"), pulse)
    assert verdict.message == "Open vSwitch, or who asks it there, does not answer"
    (_, _, command) = verdict.remedy.partition("Where it is to run no more: ovn-sbctl ")
    databases.sbctl(*shlex.split(command))
    until(lambda: SWITCH not in _report(watch)["agents"], what="nobody misses it", timeout_s=60)
    assert _report(watch)["switch_silent"] == ""


def _first_line(host: Hypervisor, **more: str) -> str:
    """Give what the program says first, as its unit's journal has it."""
    script = resources.files("isthmus.services") / "answer_switch.sh"
    found = {"OVS_RUNDIR": str(host.folder), "PATH": os.environ["PATH"], **QUICK, **more}
    with subprocess.Popen(
        ["/bin/sh", str(script)], env=found, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        try:
            return running.stderr.readline()
        finally:
            running.kill()


def test_what_hinders_it_is_said(host: Hypervisor, databases: OvnDatabases, tmp_path: Path) -> None:
    for name in ("sh", "sleep", "sed", "tr", "ovs-vsctl", "ovsdb-client"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    said = _first_line(host, PATH=str(tmp_path))
    assert said == "isthmus-answer-switch: ovs-appctl is not installed\n"
    said = _first_line(host, OVS_RUNDIR=str(tmp_path))
    assert said.startswith("isthmus-answer-switch: Open vSwitch does not answer: ")
    host.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=nobody")
    databases.kill("sb")
    remote = databases.sb_remote
    assert _first_line(host).startswith(f"isthmus-answer-switch: {remote} does not do what")
    host.vsctl("remove", "Open_vSwitch", ".", "external_ids", "ovn-remote")
    assert "no external_ids:system-id or ovn-remote" in _first_line(host)
