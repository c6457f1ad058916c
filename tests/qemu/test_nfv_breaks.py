"""What is broken on the planned machine is found and named, one thing after the other."""

import pytest
from tests.qemu.tuned import Tuned

from isthmus.nfv.render import files
from isthmus.wiring import nfv as wiring

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]

NODE1 = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
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
        f"sed -i 's/^cpu_dedicated_set.*/cpu_dedicated_set = 3-5,10-11/' {files.NOVA}",
        "apply",
        {"nova.cpu_dedicated_set": ["[compute] cpu_dedicated_set"], "cpu.overlap": ["CPU 3"]},
    ),
    "Nova forgets the switch's pages": (
        f"sed -i '/^reserved_huge_pages = node:1/d' {files.NOVA}",
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
        f"rm {files.GRUB}",
        "apply",
        {"file.missing": [files.GRUB]},
    ),
    "somebody else runs on an instance's CPU": (
        # Out of the groups that the plan narrowed, where it could not.
        "cp /bin/sleep /tmp/stray; setsid sh -c 'echo $$ >/sys/fs/cgroup/cgroup.procs; "
        "exec taskset -c 4 /tmp/stray 3000' >/dev/null 2>&1 &",
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
        {"ovs.down": ["Open vSwitch"], "nic.driver": ["enp129s0"]},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found_and_named(tuned: Tuned, name: str) -> None:
    broken, remedy, expected = BREAKS[name]
    tuned.run(broken)
    try:
        tuned.until_found(expected)
    finally:
        if remedy == "apply":
            wiring.apply_plan(tuned.door, tuned.plan)
        else:
            tuned.run(remedy)
    assert tuned.until_clean() == {}
