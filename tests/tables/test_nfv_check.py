"""Every finding: a host that is just as planned, with one thing wrong at a time."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from isthmus.facts import cpuset
from isthmus.facts.host.devlink import Function
from isthmus.facts.host.libvirt import Domain
from isthmus.facts.host.ovs import Interface, Port, Queue
from isthmus.facts.host.procfs import Thread
from isthmus.model.host.host_inventory import HugePages
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Verdict, is_clean
from isthmus.nfv.check import host as checks
from isthmus.nfv.check import rule
from isthmus.nfv.check.state import SOURCES, HostState
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.render import files, ovs
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_state import HEALTHY

DEMAND = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: [left0], packet_rate_mpps: 4}
- {name: right, by: ovs-dpdk, nics: [right0]}
- {name: direct, by: sriov, nics: [sriov0], vfs: 4}
flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [left]}]
"""
HOST = make_host(
    Shape(
        name="h",
        cores_per_node=6,
        memory_mib=(16384,),
        nics=(
            make_nic("left0", 0, bus=0x10, driver="vfio-pci"),
            make_nic("right0", 1, bus=0x20, driver="vfio-pci"),
            dataclasses.replace(make_nic("sriov0", 1, bus=0x30), vfs=4),
        ),
    )
)


def make_plan() -> HostPlan:
    plan = plan_host(HOST, parse_demand(DEMAND))
    assert isinstance(plan, HostPlan)
    return plan


PLAN = make_plan()
#: The port of an instance; whether it is connected is not told.
VHOST = Interface(
    name="vhu1",
    type="dpdkvhostuserclient",
    options={},
    other_config={},
    mtu=None,
    error="",
    statistics={},
    status={"numa": "0"},
)


def make_state(plan: HostPlan = PLAN) -> HostState:
    """The host as the plan wants it."""
    nodes = tuple(
        dataclasses.replace(
            node,
            hugepages=tuple(
                HugePages(size_kib=page.size_kib, total=page.total, free=page.total - page.for_ovs)
                for page in planned.pages
            ),
        )
        for node, planned in zip(HOST.nodes, plan.nodes, strict=True)
    )
    node_of = {cpu: core.node for core in HOST.cores for cpu in core.cpus}
    queues = tuple(
        Queue(port.name, queue, cpu, node_of[cpu], enabled=True, usage_pct=10)
        for port in plan.dpdk_ports
        for queue, cpu in port.rxq_affinity.items()
    )
    return HostState(
        inventory=dataclasses.replace(HOST, nodes=nodes, kernel_line=" ".join(plan.kernel_args)),
        files={file.path: file.content for file in files.render_files(plan)}
        | {"/etc/tuned/active_profile": "cpu-partitioning"},
        isolated=plan.isolated_cpus,
        nohz_full=plan.isolated_cpus,
        online=HOST.cpus,
        ovs_runs=True,
        ovs_says="",
        dpdk_initialized=True,
        other_config=plan.other_config,
        external_ids=plan.external_ids,
        interfaces=(
            *(
                Interface(
                    name=port.name,
                    type="dpdk",
                    options={"dpdk-devargs": port.devargs, "n_rxq": str(port.rx_queues)},
                    other_config={"pmd-rxq-affinity": ovs.render_affinity(port)},
                    mtu=port.mtu,
                    error="",
                    statistics={"rx_packets": 1000},
                    status={"numa_id": str(port.node)},
                    link_state="up",
                )
                for port in plan.dpdk_ports
            ),
            VHOST,
        ),
        pmds={cpu: node_of[cpu] for cpu in plan.pmd_cpus},
        queues=queues,
        nova=dict(plan.nova),
        tuned_profile="cpu-partitioning",
        threads=(
            Thread(
                1, 1, is_kernel=False, allowed=plan.host_cpus, process="systemd", name="systemd"
            ),
            Thread(9, 9, is_kernel=True, allowed=HOST.cpus, process="kworker", name="kworker"),
            Thread(
                5,
                6,
                is_kernel=False,
                allowed=plan.pmd_cpus[:1],
                process="ovs-vswitchd",
                name="pmd-c01/id:8",
            ),
        ),
        shut_pmds=(),
        switch_log="",
        irqs={"30": plan.host_cpus[:1], "31": plan.dedicated_cpus[:1]},
        interrupts={"30": (5000,) * len(HOST.cpus), "31": (0,) * len(HOST.cpus)},
        domains=(
            Domain(
                name="instance-1",
                pins={0: plan.dedicated_cpus[:1], 1: plan.dedicated_cpus[1:2]},
                emulator=plan.shared_cpus,
                vhost_user=("vhu1",),
                hugepages=True,
                shared_memory=True,
            ),
        ),
        seen=frozenset(SOURCES) | set(HEALTHY),
        facts=HEALTHY,
        neutron=dict(plan.neutron),
        ports=tuple(Port(port.name, (port.name,), port.bridge) for port in plan.dpdk_ports),
        datapaths={port.bridge: "netdev" for port in plan.dpdk_ports},
        digests={
            file.path: hashlib.sha256(file.content.encode()).hexdigest()
            for file in files.render_files(plan)
        },
        mounts=(("/dev/hugepages", "rw,relatime,pagesize=1024M"),),
        sockets="755 libvirt-qemu kvm",
        functions=tuple(
            Function(one.nic, number, spoof_check=True, trusted=False)
            for one in plan.sriov
            for number in range(one.vfs)
        ),
    )


STATE = make_state()
CPU = PLAN.dedicated_cpus[0]


def change(**values: Any) -> Callable[[HostState], HostState]:
    return lambda state: dataclasses.replace(state, **values)


def hardware(**values: Any) -> Callable[[HostState], HostState]:
    return lambda state: dataclasses.replace(
        state, inventory=dataclasses.replace(state.inventory, **values)
    )


def nic(index: int, **values: Any) -> Callable[[HostState], HostState]:
    nics = list(STATE.inventory.nics)
    nics[index] = dataclasses.replace(nics[index], **values)
    return hardware(nics=tuple(nics))


def interface(index: int, **values: Any) -> Callable[[HostState], HostState]:
    them = list(STATE.interfaces)
    them[index] = dataclasses.replace(them[index], **values)
    return change(interfaces=tuple(them))


def without(mapping: Any, key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def pages(node: int, total: int, free: int = 0) -> Callable[[HostState], HostState]:
    nodes = list(STATE.inventory.nodes)
    pool = nodes[node].hugepages[0]
    nodes[node] = dataclasses.replace(
        nodes[node], hugepages=(dataclasses.replace(pool, total=total, free=free),)
    )
    return hardware(nodes=tuple(nodes))


def vcpu(pid: int, *allowed: int) -> Thread:
    return Thread(pid, pid + 1, False, tuple(allowed), "qemu-system-x86", "CPU 0/KVM")


#: what is wrong: (how, code, severity, part of the sentence, part of the evidence)
WRONG: dict[str, tuple[Callable[[HostState], HostState], str, str, str, str]] = {
    "a CPU is off": (
        change(online=HOST.cpus[:-1]),
        "cpu.offline",
        "broken",
        "CPU 23 is planned but does not run",
        "cpu/online: 0-22",
    ),
    "an argument is missing": (
        hardware(kernel_line=" ".join(PLAN.kernel_args).replace("iommu=pt", "").strip()),
        "kernel.arg",
        "broken",
        "not started with iommu=pt",
        "/proc/cmdline has no iommu",
    ),
    "other CPUs are isolated": (
        change(isolated=PLAN.isolated_cpus[1:]),
        "kernel.isolated",
        "broken",
        "the kernel isolates",
        "cpu/isolated",
    ),
    "the boot loader's file was edited": (
        lambda state: dataclasses.replace(
            state, files={**state.files, files.GRUB: 'GRUB_CMDLINE_LINUX="quiet"'}
        ),
        "file.drift",
        "broken",
        "the next boot will not be as planned",
        files.GRUB,
    ),
    "the boot loader's file is gone": (
        change(files=without(STATE.files, files.GRUB)),
        "file.missing",
        "broken",
        "is missing",
        "no such file",
    ),
    "pages are missing on one node": (
        pages(1, 3),
        "pages.total",
        "broken",
        "node 1 has 3 pages of 1048576 KiB, planned are 14",
        "node1/hugepages",
    ),
    "more pages than planned": (pages(0, 15), "pages.total", "degraded", "planned are 14", "15"),
    "the switch has not taken its pages": (
        pages(0, 14, free=14),
        "pages.short",
        "degraded",
        "0 pages of 1048576 KiB are in use on node 0, where Open vSwitch should have 2",
        "14 of 14 free",
    ),
    "pages that nobody holds": (
        lambda state: dataclasses.replace(pages(1, 14, free=3)(state), domains=()),
        "pages.leaked",
        "degraded",
        "11 pages of 1048576 KiB are in use on node 1",
        "3 of 14 free",
    ),
    "the switch is dead": (
        change(ovs_runs=False, ovs_says="connection refused", pmds={}, queues=()),
        "ovs.down",
        "broken",
        "does not run",
        "connection refused",
    ),
    "the switch has no DPDK": (
        change(dpdk_initialized=False),
        "ovs.dpdk",
        "broken",
        "without DPDK",
        "dpdk_initialized: false",
    ),
    "PMDs on instances' CPUs": (
        lambda state: dataclasses.replace(
            state, other_config={**state.other_config, "pmd-cpu-mask": hex(1 << CPU)}
        ),
        "ovs.pmd-cpu-mask",
        "broken",
        f"it takes CPU {CPU} of pinned instances",
        "pmd-cpu-mask=",
    ),
    "no socket memory": (
        change(other_config=without(STATE.other_config, "dpdk-socket-mem")),
        "ovs.dpdk-socket-mem",
        "broken",
        "dpdk-socket-mem is not set, planned is 2048,2048",
        "no other_config:dpdk-socket-mem",
    ),
    "OVN does not know the bridges": (
        change(external_ids={"ovn-bridge-datapath-type": "netdev"}),
        "ovs.ovn-bridge-mappings",
        "broken",
        "not set",
        "no external_ids",
    ),
    "a port is gone": (
        change(interfaces=STATE.interfaces[1:]),
        "port.missing",
        "broken",
        "dpdk0 is not on br-left",
        "no such Interface",
    ),
    "a port fails": (
        interface(0, error="could not open network device"),
        "port.error",
        "broken",
        "dpdk0 does not work: could not open",
        "could not open",
    ),
    "another MTU": (interface(0, mtu=9000), "port.mtu", "broken", "has mtu 9000", "mtu 9000"),
    "a queue less": (
        interface(0, options={**STATE.interfaces[0].options, "n_rxq": "1"}),
        "port.queues",
        "broken",
        "dpdk0 has queues 1, planned is 4",
        "queues 1",
    ),
    "another device": (
        interface(1, options={**STATE.interfaces[1].options, "dpdk-devargs": "0000:99:00.0"}),
        "port.devargs",
        "broken",
        "0000:99:00.0",
        "0000:99:00.0",
    ),
    "queues elsewhere": (
        interface(0, other_config={"pmd-rxq-affinity": "0:1"}),
        "port.affinity",
        "broken",
        "dpdk0 has affinity 0:1",
        "affinity 0:1",
    ),
    "a port with the kernel's driver": (
        nic(0, driver="i40e"),
        "nic.driver",
        "broken",
        "0000:10:00.0 is bound to i40e, planned is vfio-pci",
        "driver: i40e",
    ),
    "a port in another slot": (nic(0, node=1), "nic.node", "broken", "sits on node 1", "numa_node"),
    "a port that is gone": (
        nic(0, pci_address="0000:77:00.0"),
        "nic.missing",
        "broken",
        "the port at 0000:10:00.0 is gone",
        "no /sys/bus/pci/devices/0000:10:00.0",
    ),
    "no virtual functions": (
        nic(2, vfs=0),
        "nic.vfs",
        "broken",
        "sriov0 has 0 virtual functions, planned are 4",
        "sriov_numvfs: 0",
    ),
    "Nova's pinned CPUs": (
        change(nova={**STATE.nova, "compute/cpu_dedicated_set": ("2",)}),
        "nova.cpu_dedicated_set",
        "broken",
        "cpu_dedicated_set is 2, planned is",
        "cpu_dedicated_set = 2",
    ),
    "Nova gives away the switch's pages": (
        change(nova=without(STATE.nova, "DEFAULT/reserved_huge_pages")),
        "nova.reserved_huge_pages",
        "broken",
        "not set",
        "not in /etc/nova",
    ),
    "another tuned profile": (
        change(tuned_profile="balanced"),
        "tuned.profile",
        "degraded",
        "tuned's profile is balanced",
        "active_profile: balanced",
    ),
    "a PMD's CPU is shared with instances": (
        change(nova={**STATE.nova, "compute/cpu_dedicated_set": (f"{PLAN.pmd_cpus[0]}",)}),
        "cpu.overlap",
        "broken",
        f"CPU {PLAN.pmd_cpus[0]} is in PMD threads and in cpu_dedicated_set",
        "PMD threads:",
    ),
    "polled from afar": (
        change(
            queues=tuple(
                dataclasses.replace(queue, numa=1, cpu=7) if queue.port == "dpdk0" else queue
                for queue in STATE.queues
            )
        ),
        "pmd.remote",
        "degraded",
        "dpdk0 sits on node 0 but CPU 7 of another node polls it",
        "dpdk0 on core 7",
    ),
    "polled by nobody": (
        change(queues=tuple(queue for queue in STATE.queues if queue.port != "dpdk1")),
        "rxq.unpolled",
        "broken",
        "nobody polls dpdk1",
        "no queue of dpdk1",
    ),
    "every PMD is shut": (
        change(shut_pmds=PLAN.pmd_cpus),
        "pmd.shut",
        "degraded",
        "polls its pinned queues only",
        "isolated : true",
    ),
    "uneven queues by number": (
        change(
            queues=tuple(
                dataclasses.replace(queue, cpu=PLAN.nodes[0].pmd_cpus[0])
                if queue.port == "dpdk0"
                else queue
                for queue in STATE.queues
            )
        ),
        "rxq.unbalanced",
        "degraded",
        "from 0 queues to 4 queues a PMD",
        "pmd-rxq-show",
    ),
    "uneven queues by load": (
        change(
            queues=tuple(
                dataclasses.replace(queue, usage_pct=90 if queue.queue == 0 else 1)
                for queue in STATE.queues
            )
        ),
        "rxq.unbalanced",
        "degraded",
        "from 1% to 90% a PMD",
        "90%",
    ),
    "a stray process": (
        change(threads=(*STATE.threads, Thread(7, 8, False, (CPU,), "stress", "worker"))),
        "cpu.intruder",
        "degraded",
        f"thread 8 (worker) of stress may run on CPU {CPU}",
        "/proc/7/task/8/status",
    ),
    "an instance that floats": (
        change(threads=(*STATE.threads, vcpu(100, *PLAN.host_cpus, CPU))),
        "instance.unpinned",
        "broken",
        "outside cpu_dedicated_set",
        "/proc/100/task/101/status",
    ),
    "two instances on one CPU": (
        change(threads=(*STATE.threads, vcpu(100, CPU), vcpu(200, CPU))),
        "instance.overlap",
        "broken",
        "processes 100 and 200",
        f"Cpus_allowed_list: {CPU}",
    ),
    "a virtual CPU moved by hand": (
        change(
            threads=(*STATE.threads, vcpu(100, PLAN.dedicated_cpus[3])),
            domains=(dataclasses.replace(STATE.domains[0], tids={0: 101}),),
        ),
        "instance.moved",
        "broken",
        f"virtual CPU 0 of instance-1 runs on CPU {PLAN.dedicated_cpus[3]}, Nova put it on {CPU}",
        "/proc/100/task/101/status",
    ),
    "an emulated instance that floats": (
        change(
            threads=(
                *STATE.threads,
                dataclasses.replace(vcpu(100, *PLAN.host_cpus, CPU), name="CPU 1/TCG"),
            )
        ),
        "instance.unpinned",
        "broken",
        "outside cpu_dedicated_set",
        "/proc/100/task/101/status",
    ),
    "pinned elsewhere than Nova says": (
        change(domains=(dataclasses.replace(STATE.domains[0], pins={0: PLAN.host_cpus[:1]}),)),
        "instance.pins",
        "broken",
        "instance-1 is pinned to CPU 0",
        "vcpupin",
    ),
    "vhost-user without huge pages": (
        change(domains=(dataclasses.replace(STATE.domains[0], hugepages=False),)),
        "instance.pages",
        "broken",
        "no packet passes",
        "memoryBacking",
    ),
    "interrupts on a PMD": (
        change(irqs={"44": (CPU,)}, interrupts={"44": (900,) * len(HOST.cpus)}),
        "irq.isolated",
        "degraded",
        "1 interrupts land on CPUs",
        "/proc/irq/44",
    ),
    "no IOMMU": (hardware(iommu=False), "iommu.off", "broken", "no IOMMU", "/sys/class/iommu"),
    "drops": (
        interface(0, statistics={"rx_packets": 10, "rx_missed_errors": 7}),
        "port.drops",
        "advice",
        "dpdk0 has dropped packets since it was made: rx_missed_errors 7",
        "rx_missed_errors 7",
    ),
}


def test_a_host_as_planned_is_clean() -> None:
    assert checks.check_host(STATE, PLAN).findings == ()


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    wrong, code, severity, said, seen = WRONG[name]
    found = checks.check_host(wrong(STATE), PLAN).findings
    mine = [one for one in found if one.code == code]
    assert mine, [one.code for one in found]
    assert any(one.severity == severity and said in one.message for one in mine), mine
    assert any(seen in one.evidence for one in mine), mine
    assert all(one.remedy for one in found)
    assert not any("\n" in one.message for one in found)
    assert is_clean(found) == (severity == "advice")


def test_every_check_has_a_case_here() -> None:
    """But for what depends on Open vSwitch's own keys, which come from the plan."""
    codes = {code for _, code, *_ in WRONG.values()}
    assert len(codes) >= 30


def test_the_worst_comes_first() -> None:
    state = dataclasses.replace(STATE, tuned_profile="balanced", online=HOST.cpus[:-1])
    assert [one.severity for one in checks.check_host(state, PLAN).findings] == [
        "broken",
        "degraded",
    ]


def test_without_a_plan_good_practice_counts() -> None:
    assert is_clean(checks.check_host(STATE).findings)
    state = dataclasses.replace(
        STATE, isolated=(), nova=without(STATE.nova, "DEFAULT/reserved_huge_pages")
    )
    codes = {one.code for one in checks.check_host(state).findings}
    assert codes == {"pmd.shared", "nova.reserved_huge_pages"}


def test_siblings_with_two_uses() -> None:
    sibling = next(core for core in HOST.cores if CPU in core.cpus).cpus
    state = dataclasses.replace(
        STATE,
        nova={
            **STATE.nova,
            "compute/cpu_dedicated_set": (str(sibling[0]),),
            "compute/cpu_shared_set": (str(sibling[1]),),
        },
    )
    found = [one for one in checks.check_host(state).findings if one.code == "cpu.siblings"]
    assert str(found[0].subject) == f"CPU {sibling[0]},{sibling[1]}"


def test_a_check_that_crashes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(checks, "PLANNED", (rule.Rule(crash),))
    found = checks.check_host(STATE, PLAN).findings
    assert [(one.code, one.severity) for one in found] == [("check.crashed", Severity.UNKNOWN)]
    assert not is_clean(found)


def test_an_instance_that_shares_cpus_is_as_it_should_be() -> None:
    """Nova gives each of its virtual CPUs all shared CPUs of a node."""
    shared = cpuset.parse_list(PLAN.nova["compute/cpu_shared_set"][0])
    one = Domain("instance-3", {0: shared}, shared, tids={0: 101})
    state = dataclasses.replace(
        STATE, threads=(*STATE.threads, vcpu(100, *shared)), domains=(*STATE.domains, one)
    )
    assert checks.check_host(state, PLAN) == checks.check_host(STATE, PLAN)
