"""More hosts of the kinds in `nfv/cases`, at least two a kind, none taken from there."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
from tests.tables.test_nfv_called_clean import see_named

from isthmus.facts.host.libvirt import Domain
from isthmus.facts.host.ovs import Interface, Queue
from isthmus.facts.host.procfs import Thread
from isthmus.facts.host.services import Service
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.model.verdict import is_clean
from isthmus.nfv.check import host as checks
from isthmus.nfv.check.state import HostState
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.testing.nfv.nfv_host import TWO_NODES, make_host, make_nic
from isthmus.testing.nfv.nfv_state import make_plan, make_state, with_hardware, with_nic

HOST = make_host(TWO_NODES)
DEMAND = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: [a0]}
- {name: direct, by: sriov, nics: [s0], vfs: 4}
- {name: mgmt, by: kernel, nics: [k0]}
flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [left]}]
"""


PLAN = make_plan(HOST, DEMAND)
STATE = make_state(HOST, PLAN)
PMD = PLAN.pmd_cpus[0]
MINE, OTHER = PLAN.dedicated_cpus[:2], PLAN.dedicated_cpus[2:4]
FAR = PLAN.nodes[1].dedicated_cpus[:2]


def guest(name: str, cpus: tuple[int, ...], **values: Any) -> Domain:
    return Domain(
        name=name,
        pins=values.pop("pins", dict(enumerate((cpu,) for cpu in cpus))),
        emulator=values.pop("emulator", PLAN.shared_cpus),
        hugepages=True,
        **values,
    )


def thread(pid: int, tid: int, allowed: tuple[int, ...], name: str) -> Thread:
    return Thread(pid, tid, False, allowed, "qemu-system-x86", name)


def with_guests(*domains: Domain, threads: tuple[Thread, ...] = ()) -> HostState:
    return dataclasses.replace(STATE, domains=domains, threads=(*STATE.threads, *threads))


def interface(name: str, kind: str, node: int, **values: Any) -> Interface:
    return Interface(
        name=name,
        type=kind,
        options=values.get("options", {}),
        other_config={},
        mtu=values.get("mtu", 1500),
        error=values.get("error", ""),
        statistics={},
        status={"numa": str(node), "status": values.get("status", "connected")},
    )


def with_interface(one: Interface, *queues: Queue) -> HostState:
    return dataclasses.replace(
        STATE, interfaces=(*STATE.interfaces, one), queues=(*STATE.queues, *queues)
    )


changed = functools.partial(dataclasses.replace, STATE)
hardware = functools.partial(with_hardware, STATE)
nic = functools.partial(with_nic, STATE)


def first(field: str, **values: Any) -> HostState:
    one, *rest = getattr(STATE, field)
    return changed(**{field: (dataclasses.replace(one, **values), *rest)})


def nova(**values: str) -> HostState:
    return changed(nova={**STATE.nova, **{f"DEFAULT/{key}": (one,) for key, one in values.items()}})


def switch(**values: str) -> HostState:
    keys = {key.replace("_", "-"): value for key, value in values.items()}
    return changed(other_config={**STATE.other_config, **keys})


def log(*lines: str) -> str:
    return "\n".join(f"2026-01-01T00:00:00.000Z|0004{n}|{line}" for n, line in enumerate(lines))


BARE = "told without a plan too"
#: what is wrong: (the host, code, part of the sentence, whether it is told without a plan too)
WRONG: dict[str, tuple[HostState, str, str, str]] = {
    # c01, c02: what QEMU runs beside virtual CPUs
    "an emulator on another instance's CPU": (
        with_guests(guest("i1", MINE, emulator=OTHER[:1]), guest("i2", OTHER)),
        "instance.emulator",
        "which belongs to another instance",
        BARE,
    ),
    "an I/O thread on a PMD's CPU": (
        with_guests(guest("i1", MINE, io_threads={1: (PMD,)})),
        "instance.emulator",
        "the I/O thread 1 of i1",
        BARE,
    ),
    "an emulator thread that libvirt knows nothing of": (
        with_guests(
            threads=(thread(7, 8, MINE[:1], "CPU 0/TCG"), thread(7, 9, (PMD,), "call_rcu"))
        ),
        "instance.helper",
        "thread call_rcu",
        BARE,
    ),
    "a helper on CPUs for instances to come": (
        with_guests(threads=(thread(7, 8, MINE[:1], "CPU 0/KVM"), thread(7, 9, OTHER, "worker"))),
        "instance.helper",
        "thread worker",
        BARE,
    ),
    # c03, c04: vhost-user ports
    "a server-mode vhost-user port of the other node": (
        with_interface(interface("vhu1", "dpdkvhostuser", 1), Queue("vhu1", 0, PMD, 0, True, 3)),
        "pmd.remote",
        "vhu1 sits on node 1",
        BARE,
    ),
    "one of two vhost-user queues is disabled, and so is the other": (
        with_interface(
            interface("vhu1", "dpdkvhostuserclient", 0),
            Queue("vhu1", 0, PMD, 0, False, 0),
            Queue("vhu1", 1, PMD, 0, False, 0),
        ),
        "rxq.unpolled",
        "nobody polls vhu1",
        BARE,
    ),
    # c05, c06: options of old
    "both options of old": (
        nova(vcpu_pin_set="2-5", reserved_host_cpus="1"),
        "nova.reserved_host_cpus",
        "does not start",
        BARE,
    ),
    "nova-compute is set up and does not run": (
        first("services", runs=False),
        "service.down",
        "nova-compute is set up here but does not run",
        BARE,
    ),
    "the container of nova-compute has ended": (
        changed(services=(Service("nova_compute", is_there=True, runs=False, says="exited"),)),
        "service.down",
        "nova-compute",
        BARE,
    ),
    # As c07, the memory of instances.
    "memory on both nodes, virtual CPUs on one": (
        with_guests(guest("i1", MINE, memory_nodes=(0, 1), memory_mode="interleave")),
        "instance.memory",
        "memory of i1 is on node 1",
        BARE,
    ),
    "virtual CPUs on one node, memory on the other": (
        with_guests(guest("i1", FAR, memory_nodes=(0,))),
        "instance.memory",
        "memory of i1 is on node 0",
        BARE,
    ),
    # c10, c11: what only a plan tells
    "a kernel port on another bridge": (
        changed(
            ports=tuple(
                dataclasses.replace(one, bridge="br-ex") if one.name == "k0" else one
                for one in STATE.ports
            )
        ),
        "port.bridge",
        "k0 is on br-ex, planned is br-mgmt",
        "",
    ),
    "the SR-IOV port's MTU": (nic("s0", mtu=9000), "nic.mtu", "s0 has MTU 9000", ""),
    "the SR-IOV port is down": (
        changed(links_up={"s0": "down"}),
        "nic.down",
        "s0 is down",
        "",
    ),
    "a function that is trusted": (
        first("functions", trusted=True),
        "nic.trust",
        "virtual function 0 of s0 is trusted",
        "",
    ),
    "a function without its spoof check": (
        first("functions", spoof_check=False),
        "nic.spoof_check",
        "virtual function 0 of s0 is not checked for spoofing",
        "",
    ),
    "the SR-IOV agent has other mappings": (
        changed(neutron={"sriov_nic/physical_device_mappings": ("direct:s9",)}),
        "neutron.physical_device_mappings",
        "direct:s9",
        "",
    ),
    "the SR-IOV agent has none": (
        changed(neutron={}),
        "neutron.physical_device_mappings",
        "not set",
        "",
    ),
    "hyper-threading is on again": (
        changed(online=(*HOST.cpus, 64, 65)),
        "cpu.unplanned",
        "CPU 64-65 runs but is in no plan",
        "",
    ),
    "a bridge of the kernel's": (
        changed(datapaths={**STATE.datapaths, "br-left": "system"}),
        "bridge.datapath",
        "br-left is on the datapath system",
        "",
    ),
    "no mount for the pages": (changed(mounts=()), "pages.mount", "do not start", ""),
    "QEMU may not make its sockets": (
        changed(sockets="755 root root"),
        "vhost.folder",
        "QEMU's to read only",
        "",
    ),
    "there is no folder for them": (changed(sockets=""), "vhost.folder", "is not there", ""),
    "interrupts go everywhere again": (
        changed(rest={"/proc/irq/default_smp_affinity": "ffffffff"}),
        "kernel.irqaffinity",
        "new interrupts may go to",
        "",
    ),
    # c13, c14, c22: ports, DPDK, and what the log says
    "a vhost-user port with an error": (
        with_interface(interface("vhu9", "dpdkvhostuserclient", 0, error="could not open")),
        "port.error",
        "vhu9 does not work",
        BARE,
    ),
    "DPDK failed for want of pages, and the log says so": (
        changed(
            dpdk_initialized=False,
            pmds={},
            queues=(),
            switch_log=log("dpdk|ERR|EAL: Not enough memory available on socket 0!"),
        ),
        "ovs.dpdk",
        "Not enough memory available on socket 0",
        BARE,
    ),
    "Open vSwitch does not answer": (
        changed(ovs_runs=False, ovs_says="connection refused", pmds={}, queues=()),
        "ovs.down",
        "does not run",
        BARE,
    ),
    # c16, c20: overlaps
    "an lcore on an instance's CPU": (
        switch(dpdk_lcore_mask=hex(1 << MINE[0])),
        "cpu.overlap",
        "dpdk-lcore-mask and in cpu_dedicated_set",
        BARE,
    ),
    "an option of old over PMDs alone": (
        changed(nova={"DEFAULT/vcpu_pin_set": (f"{PMD},{MINE[0]}",)}),
        "cpu.overlap",
        "PMD threads and in vcpu_pin_set",
        BARE,
    ),
    # c18, c19: memory of the switch
    "socket memory on the wrong node": (
        switch(dpdk_socket_mem="0,2048", dpdk_socket_limit="0,2048"),
        "ovs.dpdk-socket-mem",
        "socket",
        BARE,
    ),
    "more socket memory than pages": (
        changed(
            other_config={**STATE.other_config, "dpdk-socket-mem": "99999,0"},
        ),
        "ovs.dpdk-socket-mem",
        "99999",
        "",
    ),
    # c21: the kernel
    "nohz_full on some CPUs only": (
        changed(nohz_full=PLAN.isolated_cpus[2:]),
        "kernel.nohz_full",
        "did not take nohz_full",
        BARE,
    ),
    "pages of another default size": (
        changed(files={**STATE.files, "/proc/meminfo": "Hugepagesize: 2048 kB\n"}),
        "kernel.default_page",
        "2048 KiB",
        "",
    ),
}


def test_the_host_is_clean_before() -> None:
    assert checks.check_host(STATE, PLAN).findings == ()
    assert is_clean(checks.check_host(STATE).findings)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    state, code, said, bare = WRONG[name]
    see_named(state, code, said, (PLAN, None) if bare else (PLAN,))


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("netdev_dpdk|ERR|Failed to create memory pool: Invalid argument", "ring23"),
        ("dpdk|ERR|EAL: No free 1048576 kB hugepages reported on node 0", "huge pages"),
        ("dpdk|ERR|EAL: 0000:10:00.0 VFIO group is not viable!", "IOMMU group"),
        ("dpdk|ERR|EAL: VFIO support could not be initialized", "VT-d"),
        ("netdev_dpdk|ERR|Interface dpdk0 unsupported MTU 9800", "lower the MTU"),
        ("netdev_dpdk|ERR|vhost-user socket device bind failed", "folder of the sockets"),
    ],
)
def test_the_remedy_fits_the_cause(line: str, remedy: str) -> None:
    state = dataclasses.replace(
        first("interfaces", error="could not open network device"), switch_log=log(line)
    )
    mine = [one for one in checks.check_host(state).findings if one.code == "port.error"]
    assert remedy in mine[0].remedy
    assert line.rpartition("|")[2] in mine[0].evidence


def test_a_crossing_that_the_plan_allows_is_no_fault() -> None:
    plan = make_plan(HOST, DEMAND.replace("nics: [a0]", "nics: [a0], affinity: preferred"))
    state = dataclasses.replace(
        make_state(HOST, plan),
        interfaces=(
            *make_state(HOST, plan).interfaces,
            interface("vhu1", "dpdkvhostuserclient", 1),
        ),
        queues=(*make_state(HOST, plan).queues, Queue("vhu1", 0, plan.pmd_cpus[0], 0, True, 1)),
    )
    assert checks.check_host(state, plan).findings == ()


def with_nics(*nics: Any) -> Callable[[str], HostPlan | Refusal]:
    host = make_host(dataclasses.replace(TWO_NODES, nics=nics))
    return lambda text: plan_host(host, parse_demand(text))


def refused(outcome: HostPlan | Refusal) -> str:
    assert isinstance(outcome, Refusal), outcome
    return "; ".join(one.message for one in outcome.constraints)


def planned(outcome: HostPlan | Refusal) -> HostPlan:
    assert isinstance(outcome, HostPlan), outcome
    return outcome


TWO_PORTS = (
    dataclasses.replace(make_nic("e1", 0, vendor="15b3", bus=5, vfs=0), mac="02:00:00:00:00:01"),
    dataclasses.replace(make_nic("e1d1", 0, vendor="15b3", bus=5, vfs=0), mac="02:00:00:00:00:02"),
)


def test_two_ports_of_one_function_are_told_apart_by_mac() -> None:
    plan = planned(
        with_nics(*TWO_PORTS)(
            "physical_networks:\n"
            "- {name: a, by: ovs-dpdk, nics: [e1]}\n- {name: b, by: ovs-dpdk, nics: [e1d1]}\n"
        )
    )
    assert [port.devargs for port in plan.dpdk_ports] == [
        "class=eth,mac=02:00:00:00:00:01",
        "class=eth,mac=02:00:00:00:00:02",
    ]


def test_one_port_of_two_alone_is_told_by_mac_too() -> None:
    plan = planned(
        with_nics(*TWO_PORTS)("physical_networks: [{name: b, by: ovs-dpdk, nics: [e1d1]}]")
    )
    assert plan.dpdk_ports[0].devargs == "class=eth,mac=02:00:00:00:00:02"


def test_an_address_of_two_ports_names_neither() -> None:
    said = refused(
        with_nics(*TWO_PORTS)(
            'physical_networks: [{name: b, by: ovs-dpdk, nics: ["0000:05:00.0"]}]'
        )
    )
    assert "name the interface" in said


def test_a_free_mate_in_the_group_is_named_with_what_to_do() -> None:
    nics = [make_nic("p0", 0, bus=0x10), make_nic("spare", 0, bus=0x11)]
    nics = [dataclasses.replace(one, iommu_group=9) for one in nics]
    text = "physical_networks: [{name: a, by: ovs-dpdk, nics: [p0]}]"
    assert "Bind spare to vfio-pci too" in refused(with_nics(*nics)(text))
    nics[1] = dataclasses.replace(nics[1], driver="vfio-pci")
    assert planned(with_nics(*nics)(text)).dpdk_ports
    bifurcated = [dataclasses.replace(one, vendor_id="15b3", driver="mlx5_core") for one in nics]
    assert planned(with_nics(*bifurcated)(text)).dpdk_ports[0].driver == ""


def test_a_group_that_is_not_known_is_said_where_a_mate_stays_with_the_kernel() -> None:
    nics = [make_nic("p0", 0, bus=0x10), make_nic("p1", 0, bus=0x10)]
    nics[1] = dataclasses.replace(nics[1], pci_address=nics[0].pci_address[:-1] + "1")

    def notes(taken: str) -> list[str]:
        text = f"physical_networks: [{{name: a, by: ovs-dpdk, nics: [{taken}]}}]"
        said = planned(with_nics(*nics)(text)).notes
        return [one.text for one in said if one.code == "iommu-group-unknown"]

    (said,) = notes("p0")
    assert "p1 of the same card" in said
    assert notes("p0, p1") == []
    nics[0] = dataclasses.replace(nics[0], iommu_group=1)
    assert notes("p0") == []


@pytest.mark.parametrize(("vendor", "node"), [("ARM", 4), ("IBM", 16), ("GenuineIntel", 32)])
def test_a_port_beyond_the_nodes_that_dpdk_knows(vendor: str, node: int) -> None:
    text = "physical_networks: [{name: a, by: ovs-dpdk, nics: [p0]}]"
    shape = dataclasses.replace(
        TWO_NODES, vendor=vendor, node_ids=(0, node), nics=(make_nic("p0", node),)
    )
    said = refused(plan_host(make_host(shape), parse_demand(text)))
    assert f"DPDK knows {node} nodes" in said
    below = dataclasses.replace(shape, node_ids=(0, node - 1), nics=(make_nic("p0", node - 1),))
    plan = planned(plan_host(make_host(below), parse_demand(text)))
    assert plan.other_config["dpdk-socket-mem"].count(",") == node - 1


def test_the_port_that_carries_ssh_is_not_taken_unless_it_is_meant() -> None:
    nics = (dataclasses.replace(make_nic("p0", 0), carries=("ssh session",)),)
    text = "physical_networks: [{{name: a, by: {}, nics: [p0]{}}}]"
    for path in ("ovs-dpdk", "kernel"):
        said = refused(with_nics(*nics)(text.format(path, "")))
        assert "p0 carries the host's ssh session" in said
        meant = with_nics(*nics)(text.format(path, ", carries_management: true"))
        assert planned(meant).host == "h"
    assert planned(with_nics(*nics)(text.format("sriov", ", vfs: 1"))).sriov


def test_a_strict_and_a_loose_network_are_strict() -> None:
    text = (
        "physical_networks:\n- {name: a, by: sriov, nics: [s0], vfs: 4}\n"
        "- {name: b, by: sriov, nics: [s1], vfs: 4, affinity: preferred}\n"
        "flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [a, b]}]"
    )
    nics = (make_nic("s0", 0, bus=0x10), make_nic("s1", 1, bus=0x20))
    plan = planned(with_nics(*nics)(text))
    assert plan.flavors[0].extra_specs["hw:pci_numa_affinity_policy"] == "required"
    assert plan.flavors[0].fits_alone == 0
    assert "affinity-strictest" in {note.code for note in plan.notes}
    alike = planned(with_nics(nics[0], dataclasses.replace(nics[1], node=0))(text))
    assert alike.flavors[0].fits_alone == 4


def test_functions_of_a_known_and_of_an_unknown_node() -> None:
    text = (
        "physical_networks: [{name: a, by: sriov, nics: [s0, s1], vfs: 2}]\n"
        "flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [a]}]"
    )
    plan = planned(with_nics(make_nic("s0", 0, bus=0x10), make_nic("s1", None, bus=0x20))(text))
    assert plan.flavors[0].extra_specs["hw:pci_numa_affinity_policy"] == "legacy"
    assert plan.flavors[0].fits_alone == 4
    assert '"numa_policy": "legacy"' in plan.nova["pci/alias"][0]


def test_a_gpu_node_and_a_port_on_it() -> None:
    text = "physical_networks: [{name: a, by: ovs-dpdk, nics: [p0]}]"
    host = make_host(dataclasses.replace(TWO_NODES, nics=(make_nic("p0", 1),)))
    cores = tuple(core for core in host.cores if core.node == 0)
    said = refused(plan_host(dataclasses.replace(host, cores=cores), parse_demand(text)))
    assert "which has no CPU" in said


def test_cpus_without_memory_are_the_hosts() -> None:
    host = make_host(
        dataclasses.replace(TWO_NODES, memory_mib=(65536, 0), nics=(make_nic("p0", 0),))
    )
    plan = planned(
        plan_host(host, parse_demand("physical_networks: [{name: a, by: ovs-dpdk, nics: [p0]}]"))
    )
    assert not set(plan.dedicated_cpus) & {cpu for core in host.cores_of(1) for cpu in core.cpus}
    assert plan.nodes[1].pages[0].total == 0


def test_af_packet_needs_no_address_and_dpdk_does() -> None:
    nics = (dataclasses.replace(make_nic("p0", 0), pci_address=""),)
    text = "physical_networks: [{{name: a, by: ovs-dpdk, nics: [p0]{}}}]"
    assert planned(with_nics(*nics)(text.format(", af_packet: true"))).dpdk_ports
    assert "has no PCI address" in refused(with_nics(*nics)(text.format("")))
