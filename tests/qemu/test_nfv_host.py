"""The proof: a machine is planned, the plan applied for real, rebooted, found clean, and broken."""

import dataclasses
import json
import time
from typing import Any

import pytest

from isthmus.model.host_plan import HostPlan
from isthmus.model.nfv_finding import is_clean
from isthmus.nfv.plan.intent import parse_intent
from isthmus.nfv.ports import HostDoor
from isthmus.wiring import nfv as wiring

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]

INTENT = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: ["0000:41:00.0"]}
- {name: right, by: ovs-dpdk, nics: ["0000:81:00.0"]}
tunnel_network: left
page_size: 2MiB
host: {memory_mib: 2048}
pmd: {max_sleep_us: 500}   # the machine's twelve CPUs are two real ones
flavors:
- {name: vnf.left, vcpus: 2, ram_mib: 256, count: 1, networks: [left]}
- {name: vnf.right, vcpus: 2, ram_mib: 256, count: 1, networks: [right]}
"""


@dataclasses.dataclass(frozen=True)
class Tuned:
    door: HostDoor
    plan: HostPlan
    first: wiring.Applied


@pytest.fixture(scope="module")
def tuned(guest: Any) -> Tuned:
    inventory = wiring.inspect_host(guest.door)
    assert [(nic.pci_address, nic.node) for nic in inventory.nics if nic.node is not None] == [
        ("0000:41:00.0", 0),
        ("0000:81:00.0", 1),
    ]
    plan = wiring.plan_or_refuse(inventory, parse_intent(INTENT))
    assert not is_clean(wiring.check_host(guest.door, plan))
    first = wiring.apply_plan(guest.door, plan, may_reboot=True)
    return Tuned(guest.door, plan, first)


def said(tuned: Tuned) -> dict[str, list[str]]:
    """Check the host; give code -> subjects of all findings that are no advice."""
    found: dict[str, list[str]] = {}
    for finding in wiring.check_host(tuned.door, tuned.plan):
        if finding.severity != "advice":
            found.setdefault(finding.code, []).append(finding.subject)
            assert finding.evidence
            assert finding.remedy
    return found


def run(tuned: Tuned, script: str) -> str:
    output = tuned.door.run_script(script, timeout_s=120)
    assert output.exit_code == 0, output.stdout + output.stderr
    return output.stdout


def test_the_plan_is_applied_through_a_reboot_and_found_clean(tuned: Tuned) -> None:
    assert tuned.first.rebooted
    assert any("kernel line" in change for change in tuned.first.changes)
    assert said(tuned) == {}
    again = wiring.apply_plan(tuned.door, tuned.plan)
    assert again.changes == ()
    assert not again.needs_reboot


def test_what_the_guest_itself_says(tuned: Tuned) -> None:
    """Not through our own parsers."""
    assert run(tuned, "cat /sys/devices/system/cpu/isolated").strip() == "2-5,8-11"
    pages = run(tuned, "cat /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages")
    assert pages.split() == [str(node.pages[0].total) for node in tuned.plan.nodes]
    shown = run(tuned, "ovs-appctl dpif-netdev/pmd-rxq-show")
    for core, numa, port in ((2, 0, "dpdk0"), (3, 0, "dpdk0"), (8, 1, "dpdk1"), (9, 1, "dpdk1")):
        part = shown.split(f"pmd thread numa_id {numa} core_id {core}:")[1].split("pmd thread")[0]
        assert f"port: {port} " in part
    assert "vfio-pci" in run(tuned, "readlink /sys/bus/pci/devices/0000:81:00.0/driver")


def restore(tuned: Tuned, script: str) -> None:
    if script == "apply":
        wiring.apply_plan(tuned.door, tuned.plan)
    else:
        run(tuned, script)


NODE1 = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
NOVA = "/etc/nova/nova.conf.d/60-isthmus-nfv.conf"
GRUB = "/etc/default/grub.d/60-isthmus-nfv.cfg"
#: name: (how it is broken, how it is put right, code -> subjects that must be found)
BREAKS: dict[str, tuple[str, str, dict[str, list[str]]]] = {
    "huge pages of one node are gone": (
        f"echo 700 >{NODE1}",
        "systemctl restart isthmus-hugepages",
        {"pages.total": ["node 1"]},
    ),
    "PMDs on the CPUs of instances": (
        "ovs-vsctl --no-wait set Open_vSwitch . other_config:pmd-cpu-mask=0x10c",
        "apply",
        {"ovs.pmd-cpu-mask": ["other_config:pmd-cpu-mask"]},
    ),
    "Nova gives a PMD's CPU to instances": (
        f"sed -i 's/^cpu_dedicated_set.*/cpu_dedicated_set = 3-5,10-11/' {NOVA}",
        "apply",
        {"nova.cpu_dedicated_set": ["[compute] cpu_dedicated_set"], "cpu.overlap": ["CPU 3"]},
    ),
    "Nova forgets the switch's pages": (
        f"sed -i '/^reserved_huge_pages = node:1/d' {NOVA}",
        "apply",
        {"nova.reserved_huge_pages": ["[DEFAULT] reserved_huge_pages"]},
    ),
    "queues polled from the other node": (
        "ovs-vsctl --no-wait set Interface dpdk0 'other_config:pmd-rxq-affinity=\"0:8,1:9\"'",
        "apply",
        {"port.affinity": ["dpdk0"], "pmd.remote": ["dpdk0"]},
    ),
    "a queue less": (
        "ovs-vsctl --no-wait set Interface dpdk1 options:n_rxq=1",
        "apply",
        {"port.queues": ["dpdk1"]},
    ),
    "a port is gone": (
        "ovs-vsctl --timeout=60 del-port dpdk1",
        "apply",
        {"port.missing": ["dpdk1"]},
    ),
    "the next boot will be another": (
        f"rm {GRUB}",
        "apply",
        {"file.missing": [GRUB]},
    ),
    "somebody else runs on an instance's CPU": (
        "cp /bin/sleep /tmp/stray; (setsid taskset -c 4 /tmp/stray 3000 >/dev/null 2>&1 &)",
        "kill $(pidof stray)",
        {"cpu.intruder": ["stray"]},
    ),
    "a CPU is offline": (
        "echo 0 >/sys/devices/system/cpu/cpu5/online",
        "echo 1 >/sys/devices/system/cpu/cpu5/online; systemctl restart ovs-vswitchd",
        {"cpu.offline": ["CPU 5"]},
    ),
    "the switch is dead, and a port is taken from DPDK": (
        "systemctl stop ovs-vswitchd; echo 0000:81:00.0 >/sys/bus/pci/drivers/vfio-pci/unbind",
        "systemctl restart isthmus-nfv-devices ovs-vswitchd",
        {"ovs.down": ["Open vSwitch"], "nic.driver": ["0000:81:00.0"]},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found_and_named(tuned: Tuned, name: str) -> None:
    broken, remedy, expected = BREAKS[name]
    run(tuned, broken)
    try:
        found = _until(tuned, expected)
        for code, subjects in expected.items():
            assert code in found, found
            for subject in subjects:
                assert any(subject in one for one in found[code]), found
    finally:
        restore(tuned, remedy)
    assert _until(tuned, {}) == {}


def _until(tuned: Tuned, expected: dict[str, list[str]]) -> dict[str, list[str]]:
    """Check until what is expected shows: the switch takes its settings in its own time."""
    deadline = time.monotonic() + 300
    while True:
        found = said(tuned)
        if (set(expected) <= set(found) and (expected or not found)) or time.monotonic() > deadline:
            return found


def test_a_kernel_line_that_is_not_the_planned_one(tuned: Tuned) -> None:
    """Last but one, since it boots: by hand without isolation, then again as planned."""
    run(tuned, "sed -i 's/ isolcpus=[^ ]*//' /boot/grub/grub.cfg")
    wiring._reboot(tuned.door, lambda _: None)
    found = said(tuned)
    assert "isolcpus" in found["kernel.arg"]
    run(tuned, "update-grub 2>/dev/null")
    wiring._reboot(tuned.door, lambda _: None)
    assert _until(tuned, {}) == {}


def test_rolling_back_leaves_nothing(tuned: Tuned) -> None:
    while True:
        generations = run(tuned, "ls /var/lib/isthmus/nfv | grep -c '^[0-9]' || true").strip()
        if generations == "0":
            break
        wiring.roll_back(tuned.door)
    left = run(tuned, f"ls {GRUB} {NOVA} /etc/systemd/system/isthmus-* 2>/dev/null | wc -l")
    assert left.strip() == "0"
    config = json.loads(
        run(tuned, "ovs-vsctl --format=json --columns=other_config list Open_vSwitch")
    )
    assert config["data"][0][0] == ["map", []]
    assert "isolcpus" not in run(tuned, "cat /boot/grub/grub.cfg")
