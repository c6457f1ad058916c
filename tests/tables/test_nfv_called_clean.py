"""Hosts with one thing wrong that were called clean: nobody looked, or unknown was good enough."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import pytest

from isthmus.facts.fact import Absent, Why
from isthmus.facts.host.libvirt import Domain
from isthmus.facts.host.ovs import Bond, Interface, Port, Queue
from isthmus.facts.host.procfs import Thread
from isthmus.facts.host.services import Service, parse_units
from isthmus.model.host.host_inventory import HugePages
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Severity, is_clean
from isthmus.nfv.check import host as checks
from isthmus.nfv.check.state import HostState
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.testing.nfv.nfv_host import TWO_NODES, make_host
from isthmus.testing.nfv.nfv_state import make_plan, make_state, with_hardware, with_nic

HOST = make_host(TWO_NODES)
DEMAND = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: [a0]}
- {name: direct, by: sriov, nics: [s0], vfs: 4, trusted: true}
- {name: mgmt, by: kernel, nics: [k0]}
flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [left]}]
"""


PLAN = make_plan(HOST, DEMAND)
STATE = make_state(HOST, PLAN)
PMD = PLAN.pmd_cpus[0]
MINE = PLAN.dedicated_cpus[:2]
LINE = STATE.inventory.kernel_line


changed = functools.partial(dataclasses.replace, STATE)
hardware = functools.partial(with_hardware, STATE)
nic = functools.partial(with_nic, STATE)


def booted(line: str, **values: Any) -> HostState:
    inventory = dataclasses.replace(STATE.inventory, kernel_line=line)
    return changed(inventory=inventory, **values)


def service(name: str) -> HostState:
    one = Service(name, is_there=True, runs=False, says=f"{name}: exited")
    return changed(services=(*STATE.services, one))


def units(text: str) -> HostState:
    others = tuple(one for one in STATE.threads if one.process != "ovs-vswitchd")
    return changed(services=(*STATE.services, *parse_units(text)), threads=others)


def guest(**values: Any) -> HostState:
    given: dict[str, Any] = {"hugepages": True, "shared_memory": True, **values}
    pins = dict(enumerate((cpu,) for cpu in MINE))
    one = Domain("i1", pins, PLAN.shared_cpus, ("vhu1",), **given)
    port = Interface("vhu1", "dpdkvhostuserclient", {}, {}, 1500, "", {}, {"numa": "0"})
    return changed(domains=(one,), interfaces=(*STATE.interfaces, port))


def polled(**values: str) -> HostState:
    them = [
        dataclasses.replace(one, options={**one.options, **values}) if one.type == "dpdk" else one
        for one in STATE.interfaces
    ]
    return changed(interfaces=tuple(them))


def bond(*enabled: str, lacp: str = "off") -> HostState:
    ports = (*STATE.ports, Port("bond-x", ("x0", "x1"), "br-left", "active-backup", "off"))
    return changed(ports=ports, bonds={"bond-x": Bond("active-backup", lacp, enabled)})


def pools(size_kib: int, total: int) -> HostState:
    more = HugePages(size_kib=size_kib, total=total, free=total)
    nodes = [
        dataclasses.replace(node, hugepages=(*node.hugepages, more))
        for node in STATE.inventory.nodes
    ]
    return hardware(nodes=tuple(nodes))


MOVED = tuple(
    dataclasses.replace(one, allowed=PLAN.host_cpus) if one.name.startswith("pmd-") else one
    for one in STATE.threads
)
ON_PMD = Thread(7, 8, False, (PMD, *PLAN.host_cpus), "qemu-system-x86", "CPU 0/KVM")
FAILED = "Id=ovs-vswitchd.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=static\n"
DEAD = FAILED.replace("failed", "inactive")
WAITS = "Id=ovn-controller.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
BOTH, PLANNED, BARE = (PLAN, None), (PLAN,), (None,)
#: what is wrong: (the host, code, part of the sentence, with a plan or without)
WRONG: dict[str, tuple[HostState, str, str, tuple[HostPlan | None, ...]]] = {
    "a flag of isolcpus that isolates nothing": (
        booted(LINE.replace("managed_irq,domain", "nohz"), isolated=()),
        "kernel.arg",
        "not started with isolcpus=managed_irq,domain",
        PLANNED,
    ),
    "isolcpus without managed_irq": (
        booted(LINE.replace("managed_irq,", "")),
        "kernel.arg",
        "managed_irq",
        PLANNED,
    ),
    "other CPUs are isolated, and another argument is missing too": (
        booted(LINE.replace("iommu=pt", ""), isolated=PLAN.isolated_cpus[1:]),
        "kernel.isolated",
        "the kernel isolates",
        PLANNED,
    ),
    "nohz_full=all on a kernel without it": (
        booted("nohz_full=all", nohz_full=()),
        "kernel.nohz_full",
        "its tick goes on on CPU 1-31",
        BARE,
    ),
    "nohz_full to the last CPU on a kernel without it": (
        booted("nohz_full=2-N", nohz_full=()),
        "kernel.nohz_full",
        "its tick goes on on CPU 2-31",
        BARE,
    ),
    "a PMD's thread in a group without its CPU": (
        changed(threads=MOVED),
        "pmd.moved",
        f"should poll on CPU {PMD} may run on CPU 0",
        BOTH,
    ),
    "a PMD less than the mask": (
        changed(pmds={cpu: node for cpu, node in STATE.pmds.items() if cpu != PMD}),
        "pmd.missing",
        f"no thread polls on CPU {PMD}",
        BOTH,
    ),
    "DPDK is to be tried, and failed": (
        changed(
            other_config={**STATE.other_config, "dpdk-init": "try"},
            dpdk_initialized=False,
            pmds={},
            queues=(),
        ),
        "ovs.dpdk",
        "runs without DPDK",
        BOTH,
    ),
    "queues that no PMD has": (
        polled(n_rxq="40"),
        "rxq.unpolled",
        "nobody polls queue",
        BOTH,
    ),
    "a CPU of Nova's is off": (
        changed(online=tuple(cpu for cpu in STATE.online if cpu != MINE[0])),
        "cpu.offline",
        f"CPU {MINE[0]} is in cpu_dedicated_set but does not run: nova-compute does not start",
        BARE,
    ),
    "sets that overlap where there is no Open vSwitch": (
        changed(
            nova={"compute/cpu_dedicated_set": ("2-5",), "compute/cpu_shared_set": ("5",)},
            seen=STATE.seen - {"switch"},
            absent={"switch": Absent(Why.NOT_INSTALLED, "Open vSwitch is not installed")},
        ),
        "cpu.overlap",
        "CPU 5 is in cpu_dedicated_set and in cpu_shared_set",
        BARE,
    ),
    "TripleO's agent of Open vSwitch": (
        service("neutron_ovs_agent"),
        "service.down",
        "Neutron's Open vSwitch agent is set up here but does not run",
        BOTH,
    ),
    "TripleO's agent of SR-IOV": (
        service("tripleo_neutron_sriov_agent"),
        "service.down",
        "Neutron's SR-IOV agent",
        BOTH,
    ),
    "RHOSO's ovn-controller": (
        service("edpm_ovn_controller"),
        "service.down",
        "ovn-controller",
        BOTH,
    ),
    "libvirt's container": (service("nova_libvirt"), "service.down", "libvirt is set up", BOTH),
    "the switch's container": (
        service("openvswitch_vswitchd"),
        "service.down",
        "Open vSwitch is set up here but does not run",
        BOTH,
    ),
    "the switch has failed": (units(FAILED), "service.down", "Open vSwitch has failed", BOTH),
    "the switch rests, and ovn-controller needs it": (
        units(f"{DEAD}\n{WAITS}"),
        "service.down",
        "ovn-controller cannot do without",
        BOTH,
    ),
    "tuned is stopped": (
        service("tuned"),
        "tuned.profile",
        "tuned does not run, so its profile cpu-partitioning is not in force",
        PLANNED,
    ),
    "an instance's memory is its own": (
        guest(shared_memory=False),
        "instance.pages",
        "its memory is not shared",
        BOTH,
    ),
    "an instance's port is not on the switch": (
        dataclasses.replace(guest(), interfaces=STATE.interfaces),
        "instance.port",
        "vhu1 of i1 is no port of Open vSwitch",
        BOTH,
    ),
    "a virtual CPU on a PMD's, and Nova has no sets": (
        changed(threads=(*STATE.threads, ON_PMD), nova={"libvirt/virt_type": ("kvm",)}),
        "instance.on_pmd",
        f"CPU 0/KVM may run on CPU {PMD}, where a PMD polls",
        BARE,
    ),
    "a member of a bond in no plan": (
        bond("x0"),
        "bond.down",
        "x1 of bond-x carry no packets",
        BOTH,
    ),
    "LACP of a bond in no plan": (
        bond("x0", "x1", lacp="configured"),
        "bond.lacp",
        "LACP of bond-x has not come to terms",
        BOTH,
    ),
    "pages of a size in no plan": (
        pools(2048, 5000),
        "pages.unplanned",
        "node 0 has 5000 pages of 2048 KiB that are in no plan: 10000 MiB less",
        PLANNED,
    ),
    "pages that nothing is mounted for": (
        pools(2048, 5000),
        "pages.mount",
        "nothing is mounted for pages of 2048 KiB",
        BARE,
    ),
    "the kernel's port is down": (
        changed(links_up={**STATE.links_up, "k0": "down"}),
        "nic.down",
        "k0 is down: nothing passes br-mgmt by it",
        PLANNED,
    ),
    "a port with functions is down": (
        changed(links_up={"s0": "down"}),
        "nic.down",
        "s0 is down",
        BOTH,
    ),
    "firmware has forgotten the node of functions": (
        nic("s0", node=None),
        "nic.node",
        "firmware does not say any more on which node s0 sits",
        PLANNED,
    ),
    "firmware has forgotten the node of a polled port": (
        nic("a0", node=None),
        "nic.node",
        "a0 sits, planned was 0",
        PLANNED,
    ),
    "the port with functions is VFIO's": (
        nic("s0", driver="vfio-pci"),
        "nic.driver",
        "0000:30:00.0 is bound to vfio-pci",
        PLANNED,
    ),
    "functions of which nothing is told": (
        changed(functions=STATE.functions[:1]),
        "nic.trust",
        "whether virtual function 1-3 of s0 is trusted",
        PLANNED,
    ),
    "functions whose trust is not told": (
        changed(functions=tuple(dataclasses.replace(f, trusted=None) for f in STATE.functions)),
        "nic.trust",
        "whether virtual function 0-3 of s0 is trusted",
        PLANNED,
    ),
    "a folder that QEMU may only read": (
        changed(sockets="555 libvirt-qemu kvm"),
        "vhost.folder",
        "QEMU's to read only",
        PLANNED,
    ),
}


@pytest.mark.parametrize("plan", BOTH, ids=("planned", "bare"))
def test_the_host_is_clean_before(plan: HostPlan | None) -> None:
    assert checks.check_host(STATE, plan).findings == ()
    assert checks.check_host(guest(), plan).findings == ()


def see_named(state: HostState, code: str, said: str, plans: Iterable[HostPlan | None]) -> None:
    """See that a host is not clean by each of some plans, and that one sentence says why."""
    for plan in plans:
        report = checks.check_host(state, plan)
        mine = [one for one in report.findings if one.code == code]
        assert any(said in one.message for one in mine), (plan is None, report.findings)
        assert not is_clean(report.findings)
        assert all(one.evidence and one.remedy for one in report.findings)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    see_named(*WRONG[name])


def test_more_than_what_was_asked_of_the_kernel_is_as_good() -> None:
    line = LINE.replace("managed_irq,domain", "domain,managed_irq,nohz")
    assert checks.check_host(booted(line), PLAN).findings == ()


def test_cpus_that_nova_takes_off_itself_are_no_fault() -> None:
    asleep = changed(
        online=tuple(cpu for cpu in STATE.online if cpu != MINE[0]),
        nova={**STATE.nova, "libvirt/cpu_power_management": ("True",)},
    )
    for plan in BOTH:
        assert is_clean(checks.check_host(asleep, plan).findings)


def test_units_that_rest_are_no_fault() -> None:
    libvirtd = DEAD.replace("ovs-vswitchd", "libvirtd")
    assert is_clean(checks.check_host(units(f"{DEAD}\n{libvirtd}"), PLAN).findings)


def test_a_port_says_how_many_queues_it_was_given() -> None:
    """A card may have fewer than asked; Open vSwitch then goes on with those."""
    one = next(one for one in STATE.interfaces if one.type == "dpdk")
    given = sum(queue.port == one.name for queue in STATE.queues)
    asked = dataclasses.replace(
        one,
        options={**one.options, "n_rxq": str(given + 2)},
        status={**one.status, "n_rxq": str(given)},
    )
    them = tuple(asked if each.name == one.name else each for each in STATE.interfaces)
    assert is_clean(checks.check_host(changed(interfaces=them)).findings)


def test_a_host_of_functions_alone_needs_no_switch() -> None:
    plan = make_plan(
        HOST,
        "physical_networks: [{name: direct, by: sriov, nics: [s0], vfs: 4}]\n"
        "flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [direct]}]",
    )
    gone = ("switch", "interfaces", "ports", "pmds", "log", "bonds")
    state = make_state(HOST, plan)
    state = dataclasses.replace(
        state,
        ovs_runs=False,
        seen=state.seen - set(gone),
        absent={name: Absent(Why.NOT_INSTALLED, "Open vSwitch is not installed") for name in gone},
    )
    report = checks.check_host(state, plan)
    assert report.findings == ()
    assert report.count(Answer.NOT_SEEN) == 0


def test_a_queue_of_an_instance_is_counted_as_it_runs() -> None:
    state = guest()
    them = tuple(
        dataclasses.replace(one, options={"n_rxq": "1"}, status={"numa": "0", "n_rxq": "4"})
        if one.name == "vhu1"
        else one
        for one in state.interfaces
    )
    queues = (*state.queues, Queue("vhu1", 0, PMD, 0, True, 1))
    state = dataclasses.replace(state, interfaces=them, queues=queues)
    assert checks.check_host(state, PLAN).findings == ()


def test_a_switch_that_does_not_answer_is_no_host_that_was_seen() -> None:
    """Nothing was asked that could be answered: such a host was called as it should be."""
    state = changed(
        ovs_runs=False,
        ovs_says="database connection failed (No such file or directory)",
        dpdk_initialized=False,
        other_config={},
        interfaces=(),
        pmds={},
        queues=(),
        threads=(),
        services=(),
        seen=STATE.seen - {"nova", "interfaces", "ports", "pmds"},
    )
    for plan in BOTH:
        report = checks.check_host(state, plan)
        assert "host.unseen" in {one.code for one in report.findings}
        assert not is_clean(report.findings)


def test_a_node_that_firmware_has_never_told_is_no_fault() -> None:
    nics = tuple(
        dataclasses.replace(one, node=None) if one.name == "a0" else one for one in HOST.nics
    )
    host = dataclasses.replace(HOST, nics=nics)
    plan = plan_host(host, parse_demand(DEMAND))
    assert isinstance(plan, HostPlan)
    assert "node-unknown" in {note.code for note in plan.notes}
    assert checks.check_host(make_state(host, plan), plan).findings == ()


def test_one_port_that_firmware_never_told_of_does_not_mute_the_others() -> None:
    both = DEMAND.replace("nics: [a0]", "nics: [a0, b0]")
    nics = tuple(
        dataclasses.replace(one, node=None) if one.name == "a0" else one for one in HOST.nics
    )
    host = dataclasses.replace(HOST, nics=nics)
    plan = plan_host(host, parse_demand(both))
    assert isinstance(plan, HostPlan), plan
    assert [note.subject for note in plan.notes if note.code == "node-unknown"] == ["a0"]
    gone = tuple(
        dataclasses.replace(one, node=None) if one.name == "b0" else one for one in host.nics
    )
    state = make_state(dataclasses.replace(host, nics=gone), plan)
    found = checks.check_host(state, plan).findings
    assert [(one.code, str(one.subject)) for one in found] == [("nic.node", "b0")]


def test_a_unit_that_only_starts_others_says_nothing_of_the_switch() -> None:
    """Both packages have one that runs for ever, and older ones no unit of the daemon's own."""
    for name in ("openvswitch-switch", "openvswitch"):
        starter = DEAD.replace("ovs-vswitchd", name).replace("inactive", "active")
        found = checks.check_host(units(f"{FAILED}\n{starter}"), PLAN).findings
        assert "service.down" in {one.code for one in found}
        assert is_clean(checks.check_host(units(f"{starter}\n{WAITS}"), PLAN).findings)


def test_a_switch_that_somebody_stopped_is_told_though_nothing_works_on_it() -> None:
    """With the package's unit its database goes, which alone would tell that it is for DPDK."""
    for name in ("openvswitch-switch", "openvswitch"):
        stopped = DEAD.replace("ovs-vswitchd", name).replace("static", "enabled")
        for text in (stopped, f"{stopped}\n{DEAD}"):
            (found,) = checks.check_host(units(text), PLAN).findings
            assert (found.code, str(found.subject)) == ("service.down", "Open vSwitch")
            assert "each boot starts it" in found.message
        off = stopped.replace("enabled", "disabled")
        assert is_clean(checks.check_host(units(off), PLAN).findings)


def test_what_may_run_everywhere_is_left_where_it_is_by_isolcpus() -> None:
    """As processes of containers may, where the kernel divides CPUs among groups."""
    everywhere = tuple(sorted(HOST.cpus))
    for plan in BOTH:
        state = changed(
            threads=(*STATE.threads, Thread(9, 9, False, everywhere, "conmon", "gmain"))
        )
        (found,) = checks.check_host(state, plan).findings
        assert (found.code, found.severity) == ("cpu.intruder", Severity.ADVICE)
        # One of the CPUs is not isolated, or the thread may run on isolated ones alone.
        mine = [cpu for cpu in STATE.isolated if cpu in PLAN.dedicated_cpus]
        left = tuple(cpu for cpu in STATE.isolated if cpu != mine[0])
        for wrong in (
            dataclasses.replace(state, isolated=left),
            changed(threads=(*STATE.threads, Thread(9, 9, False, tuple(mine), "stray", "x"))),
        ):
            severities = {
                one.severity
                for one in checks.check_host(wrong, plan).findings
                if one.code == "cpu.intruder"
            }
            assert severities == {Severity.DEGRADED}
