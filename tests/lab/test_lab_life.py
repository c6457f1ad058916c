"""The lab itself: what it makes, what survives, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.lab.conftest import Silent, need_lab, new_name

from isthmus import errors
from isthmus.clients.machine import process
from isthmus.lab.demo import Line
from isthmus.lab.opened import OpenLab
from isthmus.lab.plan import prefix
from isthmus.lab.tier.maker import MARKER
from isthmus.model.verdict import Answer
from isthmus.testing.until import until
from isthmus.wiring.lab import choose_topology, open_labs

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(600)]


def leftovers(name: str, folder: Path) -> list[str]:
    """List what of a lab is still on the machine."""
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    found = [entry.name for entry in Path("/run/netns").glob(prefix(name) + "*")]
    found += [str(one) for one in process.find_marked(MARKER, str(folder / name))]
    found += [line for line in links.splitlines() if prefix(name) in line]
    return found + [str(path) for path in [folder / name] if path.exists()]


def test_the_demo_holds(lab: OpenLab) -> None:
    told: list[Line] = []
    lab.run_demo(told.append, before="story-")
    assert sum(line.checked for line in told) >= 15


def test_every_check_of_verify_passes_and_takes_its_probes_away(lab: OpenLab) -> None:
    before = lab.servers.list_rows()
    report = lab.verify()
    assert {one.answer for one in report.rulings} == {Answer.FINE}, report
    assert len([one for one in report.rulings if one.check.startswith("ping")]) == 2
    assert lab.servers.list_rows() == before
    api = lab.tools.open_api(lab.plan.clouds_file, "central")
    assert not [net for net in api.get_all("network") if net["name"].startswith("verify-")]


def test_a_second_lab_of_the_name_is_refused(lab: OpenLab) -> None:
    with pytest.raises(errors.Exists, match="is up already"):
        open_labs().up(lab.plan.name, choose_topology(None, 1, 1), reporter=Silent())


def test_a_slow_link_is_slow_and_comes_back(lab: OpenLab, make_network: Callable[..., str]) -> None:
    network = make_network("10.78.0.0/24", "fd00:78::/64")
    for name, site in (("slow1", "site1"), ("slow2", "site2")):
        lab.create_server(name=name, site=site, network=network)
    address = lab.servers.get("slow2")["addresses"][0]

    def reply(*options: str) -> bool:
        command = ["ping", "-n", "-c", "1", *options, address]
        return lab.servers.run("slow1", command)[0] == 0

    assert until(lambda: reply("-W", "1"))
    tier = lab.plan.get_site("site1")
    lab.wan.delay(tier, 4000)
    try:
        # A reply needs 4 s now, however busy the machine is.
        assert not reply("-W", "2")
        assert reply("-W", "20")
    finally:
        lab.wan.restore(tier)
    assert until(lambda: reply("-W", "1"))
    for name in ("slow1", "slow2"):
        lab.servers.delete(name)


def test_a_killed_neutron_is_seen_and_comes_back(lab: OpenLab) -> None:
    lab.kill("site2.neutron", signal.SIGKILL)
    assert until(lambda: state_of(lab, "site2.neutron") == "down")
    with pytest.raises(errors.NotFound, match="is not running"):
        lab.kill("site2.neutron", signal.SIGKILL)
    lab.start("site2.neutron")
    assert state_of(lab, "site2.neutron") == "up"
    with pytest.raises(errors.Exists, match="is running"):
        lab.start("site2.neutron")
    lab.kill("site2.neutron", signal.SIGSTOP)
    assert until(lambda: state_of(lab, "site2.neutron") == "stopped")
    with pytest.raises(errors.Exists, match="--signal CONT"):
        lab.start("site2.neutron")
    lab.kill("site2.neutron", signal.SIGCONT)
    api = lab.tools.open_api(lab.plan.clouds_file, "site2")
    assert isinstance(api.get_all("network"), list)


def test_other_tenants_can_be_and_see_nothing_of_ours(
    lab: OpenLab, make_network: Callable[..., str]
) -> None:
    network = make_network("10.79.0.0/24", "fd00:79::/64")
    for cloud in ("other-central", "other-site1"):
        api = lab.tools.open_api(lab.plan.clouds_file, cloud)
        with pytest.raises(errors.NotFound):
            api.call("GET", f"/v2.0/networks/{network}")


def test_nothing_is_left_after_kill_9_of_up() -> None:
    need_lab()
    labs, name = open_labs(), new_name()
    folder = labs.folder
    script = f"from isthmus.cli.main import run; run(['lab', 'up', '--name', {name!r}])"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ledger = folder / name / "ledger.jsonl"
    try:
        # In the midst of it: some processes are up, others are not.
        assert until(lambda: ledger.exists() and "northd" in ledger.read_text(), timeout_s=300)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert leftovers(name, folder)
    labs.down(name)
    assert until(lambda: not leftovers(name, folder))
    with pytest.raises(errors.NotFound):
        labs.down(name)


def state_of(lab: OpenLab, name: str) -> str:
    """Give a process's state as `status` shows it."""
    return next(str(row["state"]) for row in lab.list_processes() if row["name"] == name)
