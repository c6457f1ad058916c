"""The proof: a machine is planned, the plan applied for real, rebooted, and found clean."""

import pytest
from tests.qemu.tuned import Tuned

from isthmus.model.verdict import is_clean
from isthmus.nfv.apply import apply_plan

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]


def test_the_plan_is_applied_through_a_reboot_and_found_clean(tuned: Tuned) -> None:
    assert not is_clean(tuned.before)
    assert tuned.first.rebooted
    assert any("kernel line" in change for change in tuned.first.changes)
    assert tuned.check() == {}
    again = apply_plan(tuned.client, tuned.plan)
    assert again.changes == ()
    assert not again.needs_reboot


def test_what_the_guest_itself_says(tuned: Tuned) -> None:
    """Not through our own parsers."""
    assert tuned.run("cat /sys/devices/system/cpu/isolated").strip() == "2-5,8-11"
    pages = tuned.run("cat /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages")
    assert pages.split() == [str(node.pages[0].total) for node in tuned.plan.nodes]
    shown = tuned.run("ovs-appctl dpif-netdev/pmd-rxq-show")
    for core, numa, port in ((2, 0, "dpdk0"), (3, 0, "dpdk0"), (8, 1, "dpdk1"), (9, 1, "dpdk1")):
        part = shown.split(f"pmd thread numa_id {numa} core_id {core}:")[1].split("pmd thread")[0]
        assert f"port: {port} " in part
    assert "vfio-pci" in tuned.run("readlink /sys/bus/pci/devices/0000:81:00.0/driver")
    refused = tuned.run(f"taskset -c {tuned.plan.dedicated_cpus[0]} true 2>&1 || true")
    assert "Invalid argument" in refused
