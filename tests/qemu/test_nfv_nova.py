"""Nova 34 on the planned machine: what its own libvirt driver makes of the plan's files.

Its inventory and topology are the plan's; instances of the plan's flavors, placed on cells by Nova
and started by its driver, are where `isthmus nfv check` wants them; what of them is moved by hand
is named: a virtual CPU, the memory, and what the emulator runs beside.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from tests.qemu import instances
from tests.qemu.tuned import Tuned

from isthmus.facts import cpuset

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]

#: All virtual CPUs, not through our own parsers: pid, tid, name and CPUs of each thread.
VCPUS = r"""
for t in $(grep -lE '^CPU [0-9]+/(TCG|KVM)$' /proc/[0-9]*/task/*/comm 2>/dev/null); do
  d=${t%/comm}; p=${d#/proc/}
  echo "${p%%/*};${d##*/};$(cat $t);$(sed -n 's/^Cpus_allowed_list:\s*//p' $d/status)"
done
"""


#: libvirt's group of what an emulator runs beside its virtual CPUs.
BESIDE = "/sys/fs/cgroup$(cut -d: -f3 /proc/$(cat /run/libvirt/qemu/{name}.pid)/cgroup)"


@dataclasses.dataclass(frozen=True)
class Break:
    """One thing of an instance that is broken; `{name}` is its, `{poll}` a CPU that polls."""

    broken: str
    remedy: str
    found: str  #: the code, with the plan and without


BREAKS = {
    "the emulator on a PMD's CPU": Break(
        "virsh emulatorpin {name} {poll} --live",
        "virsh emulatorpin {name} {own} --live",
        "instance.emulator",
    ),
    "an I/O thread on a PMD's CPU": Break(
        "virsh iothreadadd {name} 1 --live; virsh iothreadpin {name} 1 {poll} --live",
        "virsh iothreaddel {name} 1 --live",
        "instance.emulator",
    ),
    # libvirt's record goes on saying that they are where they belong.
    "helper threads on a PMD's CPU": Break(
        f"echo {{poll}} >{BESIDE}/cpuset.cpus",
        f"echo {{own}} >{BESIDE}/cpuset.cpus",
        "instance.helper",
    ),
    # As a live migration leaves it which kept the nodes of where the instance was. The other node
    # has few pages left, so it is a small one.
    "memory on the other node": Break(
        "virsh dumpxml {name} --inactive | sed -E 's/262144/65536/; "
        """/<mem(ory mode=|node )/s/nodeset=.{node}./nodeset="{far}"/' >/tmp/far.xml; """
        "virsh destroy {name}; virsh create /tmp/far.xml",
        "virsh destroy {name}; virsh start {name}",
        "instance.memory",
    ),
}


@dataclasses.dataclass(frozen=True)
class Vcpu:
    tid: int
    number: int
    allowed: tuple[int, ...]


@pytest.fixture(scope="module")
def said(tuned: Tuned) -> Iterator[dict[str, Any]]:
    yield instances.start(tuned)
    instances.end_all(tuned)
    assert tuned.until_clean() == {}


def see_vcpus(tuned: Tuned) -> dict[int, list[Vcpu]]:
    """Read the virtual CPUs of each emulator's process."""
    found: dict[int, list[Vcpu]] = {}
    for line in tuned.run(VCPUS).splitlines():
        pid, tid, name, allowed = line.split(";")
        number = int(name.split()[1].partition("/")[0])
        found.setdefault(int(pid), []).append(Vcpu(int(tid), number, cpuset.parse_list(allowed)))
    return found


def test_nova_has_the_planned_inventory(tuned: Tuned, said: dict[str, Any]) -> None:
    plan, inventory = tuned.plan, said["inventory"]
    assert inventory["PCPU"]["total"] == len(plan.dedicated_cpus) == 4
    shared = cpuset.parse_list(plan.nova["compute/cpu_shared_set"][0])
    assert inventory["VCPU"]["total"] == len(shared) == 4
    assert inventory["VCPU"]["allocation_ratio"] == 4.0
    reserved = plan.nova["DEFAULT/reserved_host_memory_mb"]
    assert reserved == (str(inventory["MEMORY_MB"]["reserved"]),)
    assert inventory["MEMORY_MB"]["allocation_ratio"] == 1.0


def test_nova_has_the_planned_cells(tuned: Tuned, said: dict[str, Any]) -> None:
    cells = {cell["id"]: cell for cell in said["cells"]}
    assert set(cells) == {node.id for node in tuned.plan.nodes}
    shared = set(cpuset.parse_list(tuned.plan.nova["compute/cpu_shared_set"][0]))
    for node in tuned.plan.nodes:
        cell = cells[node.id]
        assert cell["dedicated"] == list(node.dedicated_cpus)
        assert cell["shared"] == sorted(shared & {*node.host_cpus, *node.shared_cpus})
        (page,) = node.pages
        assert cell["pages"][str(page.size_kib)] == [page.total, page.for_ovs]
    assert [cells[node]["physnets"] for node in (0, 1)] == [["left"], ["right"]]
    assert [cells[node]["tunneled"] for node in (0, 1)] == [True, False]


def test_instances_run_where_the_plan_has_room_for_them(tuned: Tuned, said: dict[str, Any]) -> None:
    domains = {one["flavor"]: one for one in said["domains"]}
    room = {node.id: list(node.dedicated_cpus) for node in tuned.plan.nodes}
    for flavor, node in (("vnf.left", 0), ("vnf.right", 1)):
        assert domains[flavor]["cells"] == [node]
        assert sorted(domains[flavor]["pins"].values()) == room[node]
    planned = sorted(
        sorted((int(v), (c,)) for v, c in one["pins"].items()) for one in said["domains"]
    )
    seen = see_vcpus(tuned).values()
    assert sorted(sorted((one.number, one.allowed) for one in them) for them in seen) == planned
    assert tuned.check() == {}


@pytest.mark.parametrize("broken", BREAKS)
def test_what_is_broken_of_an_instance_is_named(
    tuned: Tuned, said: dict[str, Any], broken: str
) -> None:
    one = next(domain for domain in said["domains"] if domain["flavor"] == "vnf.left")
    pinned = tuned.run(f"virsh emulatorpin {one['name']}").split()
    values = {
        "name": one["name"],
        "poll": tuned.plan.nodes[0].pmd_cpus[0],
        "own": pinned[-1],
        "node": 0,
        "far": 1,
    }
    fault = BREAKS[broken]
    tuned.run(fault.broken.format(**values), timeout_s=900)
    try:
        tuned.until_found({fault.found: [one["name"]]}, (fault.found,))
    finally:
        tuned.run(fault.remedy.format(**values), timeout_s=900)
    assert tuned.until_clean() == {}


def test_a_virtual_cpu_that_is_moved_is_named(tuned: Tuned, said: dict[str, Any]) -> None:
    pins = {one["name"]: {int(v): c for v, c in one["pins"].items()} for one in said["domains"]}
    name, other = sorted(pins)
    victim = next(
        vcpu
        for them in see_vcpus(tuned).values()
        for vcpu in them
        if vcpu.number == 0 and vcpu.allowed == (pins[name][0],)
    )
    # libvirt holds the thread by a group of its own, so that is what must be changed.
    group = f"/sys/fs/cgroup$(cut -d: -f3 /proc/{victim.tid}/cgroup)/cpuset.cpus"
    tuned.run(f"echo {pins[other][0]} >{group}")
    try:
        tuned.until_found({"instance.moved": [name], "instance.overlap": [f"CPU {pins[other][0]}"]})
    finally:
        tuned.run(f"echo {pins[name][0]} >{group}")
    assert tuned.until_clean() == {}
