"""A host that is just as its plan wants it, as checks see it: where one thing wrong is put in."""

import base64
import dataclasses
import hashlib
from typing import Any, TypeVar

from isthmus.facts import registry
from isthmus.facts.fact import Fact
from isthmus.facts.host.devlink import Function
from isthmus.facts.host.ovs import Interface, Port, Queue
from isthmus.facts.host.procfs import Thread
from isthmus.facts.host.services import Service
from isthmus.model.host.host_inventory import HostInventory, HugePages, Nic
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.check.state import SOURCES, HostState
from isthmus.nfv.check.topic import options
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.render import files, ovs, texts

Value = TypeVar("Value")
#: What facts without a field of their own say on a healthy host: each has its sample.
HEALTHY: dict[str, Any] = {
    fact.name: fact.parse_output(fact.sample) for fact in registry.HOST if fact.sample
}


def complete(text: str) -> str:
    """Add to recorded facts what a healthy host says of facts that were thought of later."""
    lines = text.rstrip().splitlines()
    later = [
        f"C64 {fact.sources[0].key} 0 {base64.b64encode(fact.sample.encode()).decode()}"
        for fact in registry.HOST
        if fact.sample and fact.name not in SOURCES
    ]
    return "\n".join([*lines[:-1], *later, lines[-1]]) + "\n"


def show(state: HostState, fact: Fact[Value], output: str) -> HostState:
    """Return a state in which the command of a fact wrote something else."""
    values = {**state.facts, fact.name: fact.parse_output(output)}
    return dataclasses.replace(state, facts=values, seen=state.seen | {fact.name})


def with_hardware(state: HostState, **values: Any) -> HostState:
    """Return a state in which the host is made of something else: fields of its inventory."""
    return dataclasses.replace(state, inventory=dataclasses.replace(state.inventory, **values))


def with_nic(state: HostState, name: str, **values: Any) -> HostState:
    """Return a state in which one of the host's ports differs."""
    nics = [
        dataclasses.replace(one, **values) if one.name == name else one
        for one in state.inventory.nics
    ]
    return with_hardware(state, nics=tuple(nics))


def make_plan(host: HostInventory, demand: str) -> HostPlan:
    """Plan a host.

    Raises:
        AssertionError: the planner refuses it.
    """
    plan = plan_host(host, parse_demand(demand))
    assert isinstance(plan, HostPlan), plan
    return plan


def make_state(host: HostInventory, plan: HostPlan) -> HostState:
    """Make the state of a host whose plan was put in place, and where nothing runs yet."""
    host = _as_planned(host, plan)
    node_of = {cpu: core.node for core in host.cores for cpu in core.cpus}
    polled = bool(plan.dpdk_ports)
    return HostState(
        inventory=host,
        files={file.path: file.content for file in files.render_files(plan)}
        | {"/etc/tuned/active_profile": plan.tuned_profile}
        | {"/proc/meminfo": f"Hugepagesize: {plan.default_page_kib} kB\n"},
        isolated=plan.isolated_cpus,
        nohz_full=plan.isolated_cpus,
        online=host.cpus,
        ovs_runs=True,
        ovs_says="",
        dpdk_initialized=polled,
        other_config=plan.other_config,
        external_ids=plan.external_ids,
        interfaces=_interfaces(plan),
        pmds={cpu: node_of[cpu] for cpu in (plan.pmd_cpus if polled else ())},
        queues=tuple(
            Queue(port.name, queue, cpu, node_of[cpu], enabled=True, usage_pct=10)
            for port in plan.dpdk_ports
            for queue, cpu in port.rxq_affinity.items()
        ),
        nova=dict(plan.nova),
        tuned_profile=plan.tuned_profile,
        threads=_threads(host, plan),
        shut_pmds=(),
        switch_log="",
        irqs={"30": plan.host_cpus[:1], "31": plan.dedicated_cpus[:1]},
        interrupts={"30": (5000,) * len(host.cpus), "31": (0,) * len(host.cpus)},
        domains=(),
        seen=frozenset(SOURCES) | set(HEALTHY),
        facts=HEALTHY,
        neutron=options.agent_options(plan.neutron),
        ports=_ports(plan),
        datapaths=dict.fromkeys(
            {port.bridge for port in plan.dpdk_ports} | {port.bridge for port in plan.kernel_ports},
            "netdev" if polled else "system",
        ),
        services=(Service("nova-compute", is_there=True, runs=True, says="ActiveState=active"),),
        functions=tuple(
            Function(one.nic, number, one.spoof_check, one.trusted)
            for one in plan.sriov
            for number in range(one.vfs)
        ),
        eswitch={
            one.nic: ("switchdev", "on") if one.switchdev else ("legacy", "off")
            for one in plan.sriov
        },
        digests={
            file.path: hashlib.sha256(file.content.encode()).hexdigest()
            for file in files.render_files(plan)
        },
        mounts=tuple(
            ("/dev/hugepages", f"rw,relatime,pagesize={texts.page_size(size)}")
            for size in sorted({page.size_kib for node in plan.nodes for page in node.pages})
        ),
        sockets="2775 libvirt-qemu kvm",
        links_up={one.nic: "up" for one in plan.sriov},
        rest={
            "/proc/irq/default_smp_affinity": hex(sum(1 << cpu for cpu in plan.host_cpus)),
        },
    )


def _as_planned(host: HostInventory, plan: HostPlan) -> HostInventory:
    pages = {node.id: node for node in plan.nodes}
    nodes = tuple(
        dataclasses.replace(
            node,
            hugepages=tuple(
                HugePages(size_kib=page.size_kib, total=page.total, free=page.total - page.for_ovs)
                for page in pages[node.id].pages
            ),
        )
        for node in host.nodes
    )
    return dataclasses.replace(
        host,
        nodes=nodes,
        nics=tuple(_nic_as_planned(nic, plan) for nic in host.nics),
        kernel_line=" ".join(plan.kernel_args),
        iommu=True,
    )


def _nic_as_planned(nic: Nic, plan: HostPlan) -> Nic:
    for port in plan.dpdk_ports:
        if port.nic == nic.name and port.driver:
            nic = dataclasses.replace(nic, driver=port.driver)
    for one in plan.sriov:
        if one.nic == nic.name:
            nic = dataclasses.replace(nic, vfs=one.vfs, mtu=one.mtu)
    for kept in plan.kernel_ports:
        if kept.nic == nic.name:
            nic = dataclasses.replace(nic, mtu=kept.mtu)
    return nic


def _interfaces(plan: HostPlan) -> tuple[Interface, ...]:
    found = [
        Interface(
            name=port.name,
            type="dpdk",
            options={"dpdk-devargs": port.devargs, "n_rxq": str(port.rx_queues)}
            | ({"n_rxq_desc": str(port.rx_descriptors)} if port.rx_descriptors else {}),
            other_config={"pmd-rxq-affinity": ovs.render_affinity(port)},
            mtu=port.mtu,
            error="",
            statistics={"rx_packets": 1000},
            status={"numa_id": str(port.node)},
            link_state="up",
        )
        for port in plan.dpdk_ports
    ]
    found += [
        Interface(
            name=one.nic,
            type="",
            options={},
            other_config={},
            mtu=one.mtu,
            error="",
            statistics={},
            status={},
        )
        for one in plan.kernel_ports
    ]
    return tuple(found)


def _ports(plan: HostPlan) -> tuple[Port, ...]:
    bonds: dict[str, list[str]] = {}
    for port in plan.dpdk_ports:
        bonds.setdefault(port.bond or port.name, []).append(port.name)
    lead = {port.bond or port.name: port for port in reversed(plan.dpdk_ports)}
    found = [
        Port(name, tuple(sorted(members)), lead[name].bridge, lead[name].bond_mode, lead[name].lacp)
        for name, members in bonds.items()
    ]
    return (*found, *(Port(one.nic, (one.nic,), one.bridge) for one in plan.kernel_ports))


def _threads(host: HostInventory, plan: HostPlan) -> tuple[Thread, ...]:
    return (
        Thread(1, 1, is_kernel=False, allowed=plan.host_cpus, process="systemd", name="systemd"),
        Thread(9, 9, is_kernel=True, allowed=host.cpus, process="kworker", name="kworker"),
        *(
            Thread(
                5,
                6 + cpu,
                is_kernel=False,
                allowed=(cpu,),
                process="ovs-vswitchd",
                name=f"pmd-c{cpu:02}/id:8",
            )
            for cpu in plan.pmd_cpus[:1]
        ),
    )
