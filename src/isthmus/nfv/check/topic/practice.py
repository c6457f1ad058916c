"""Checks of a host against good practice: what holds for every plan, and without one."""

import re
from collections.abc import Collection, Iterator

from isthmus.facts import cpuset
from isthmus.facts.host import oslo_conf, ovs, procfs
from isthmus.facts.host.oslo_conf import find_nova_cpus
from isthmus.facts.host.procfs import Thread, is_emulator
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import (
    Rule,
    Unseen,
    switch_runs,
    unless_hidden,
    with_switch,
)
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.cores import polling

#: Processes that belong on isolated CPUs.
SWITCH = "ovs-vswitchd"
#: A queue load (percent of a PMD) from which imbalance matters, and the spread that counts as such.
BUSY_PCT = 50
SPREAD_PCT = 40
#: Interrupts since boot below which an IRQ does not disturb: the kernel's own start leaves some.
MANY_INTERRUPTS = 100
#: What Open vSwitch calls a thread that polls: the CPU is in it (lib/dpif-netdev.c).
_PMD_NAME = re.compile(r"^pmd-c(\d+)/")


def check_isolation(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every CPU that polls is isolated from the kernel's scheduler."""
    bare = sorted(set(polling(state)) - set(state.isolated))
    if state.ovs_runs and state.pmds and bare and plan is None:
        yield Verdict(
            code="pmd.shared",
            severity=Severity.DEGRADED,
            subject=Subject(f"CPU {cpuset.render_list(bare)}"),
            message=f"PMD threads poll on CPU {cpuset.render_list(bare)}, which the kernel gives "
            "to others too",
            evidence=f"/sys/devices/system/cpu/isolated: {cpuset.render_list(state.isolated)}",
            remedy="add it to isolcpus and reboot",
        )


def check_shut(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each node with PMDs has one that takes vhost-user queues too."""
    del plan
    for node in sorted(set(state.pmds.values())):
        cpus = [cpu for cpu, numa in state.pmds.items() if numa == node]
        if all(cpu in state.shut_pmds for cpu in cpus):
            yield Verdict(
                code="pmd.shut",
                severity=Severity.DEGRADED,
                subject=Subject(f"node {node}"),
                message=f"every PMD of node {node} polls its pinned queues only: instances there "
                "are polled from another node, or by nobody",
                evidence=f"pmd-rxq-show: isolated : true on core {cpuset.render_list(cpus)}",
                remedy="set other_config:pmd-rxq-assign=group and pmd-rxq-isolate=false",
            )


def check_balance(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """PMDs of a node carry about the same: by load where there is one, else by queues."""
    for node in sorted(set(state.pmds.values())):
        cpus = [cpu for cpu, numa in state.pmds.items() if numa == node]
        load = dict.fromkeys(cpus, 0)
        count = dict.fromkeys(cpus, 0)
        for queue in state.queues:
            if queue.cpu in count and queue.enabled:
                count[queue.cpu] += 1
                load[queue.cpu] += queue.usage_pct or 0
        uneven = (
            max(load.values()) >= BUSY_PCT and max(load.values()) - min(load.values()) >= SPREAD_PCT
        )
        crowded = max(count.values()) - min(count.values()) > 1
        if uneven or crowded:
            by = load if uneven else count
            unit = "%" if uneven else " queues"
            yield Verdict(
                code="rxq.unbalanced",
                severity=Severity.DEGRADED,
                subject=Subject(f"node {node}"),
                message=f"receive queues are uneven on node {node}: from {min(by.values())}{unit} "
                f"to {max(by.values())}{unit} a PMD",
                evidence="pmd-rxq-show: "
                + ", ".join(f"core {cpu}: {value}{unit}" for cpu, value in sorted(by.items())),
                remedy=_say_rebalance(state, node, planned=plan is not None),
            )


def _say_rebalance(state: HostState, node: int, *, planned: bool) -> str:
    """Suggest what moves the load: a plan does not set the queues of instances."""
    pinned = {one.name for one in state.interfaces if "pmd-rxq-affinity" in one.other_config}
    here = [queue for queue in state.queues if queue.numa == node]
    busiest = max(here, key=lambda queue: queue.usage_pct or 0, default=None)
    if planned and busiest is not None and busiest.port in pinned:
        return "isthmus nfv apply sets the planned affinity"
    return (
        "ovs-appctl dpif-netdev/pmd-rxq-rebalance spreads the queues of instances anew; more of "
        "them (hw:vif_multiqueue_enabled), or more PMD cores (pmd.cores)"
    )


_FREE = "none of the CPUs that poll or belong to instances is isolated"


def _owned(state: HostState, plan: HostPlan | None) -> set[int]:
    """CPUs that poll or belong to instances."""
    if plan is not None:
        return set(plan.isolated_cpus)
    return {*polling(state), *find_nova_cpus(state.nova, "cpu_dedicated_set")}


def _polled(state: HostState, plan: HostPlan | None) -> set[int]:
    return set(plan.isolated_cpus) if plan else set(polling(state))


def isolates(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where CPUs are isolated: where none is, everything may run everywhere."""
    if _owned(state, plan) & set(state.isolated):
        return ""
    return _FREE if plan else unless_hidden(state, _FREE, ovs.SWITCH, oslo_conf.NOVA)


def isolates_polling(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where CPUs that poll are isolated."""
    if _polled(state, plan) & set(state.isolated):
        return ""
    return _FREE if plan else unless_hidden(state, _FREE, ovs.SWITCH)


def check_threads(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Nobody else runs on CPUs that poll or that instances own."""
    owned = _owned(state, plan)
    for thread in state.threads:
        if thread.is_kernel or not owned & set(thread.allowed):
            continue
        if is_emulator(thread.process):
            continue  # `instances` looks at them
        if thread.process != SWITCH or not thread.name.startswith("pmd-"):
            hit = sorted(owned & set(thread.allowed))
            yield Verdict(
                code="cpu.intruder",
                severity=Severity.ADVICE if _is_kept_off(thread, hit, state) else Severity.DEGRADED,
                subject=Subject(f"{thread.process} ({thread.pid})"),
                message=f"thread {thread.tid} ({thread.name}) of {thread.process} may run on CPU "
                f"{cpuset.render_list(hit)}, which is not for it",
                evidence=f"/proc/{thread.pid}/task/{thread.tid}/status Cpus_allowed_list: "
                f"{cpuset.render_list(thread.allowed)}",
                remedy=f"taskset -cp {cpuset.render_list(plan.host_cpus) if plan else 'HOST-CPUS'} "
                f"{thread.tid}, and find out who put it there",
            )


def _is_kept_off(thread: Thread, hit: Collection[int], state: HostState) -> bool:
    """Return whether the scheduler leaves a thread where it began: off CPUs isolated from it.

    So it is with all processes of containers where libvirt has the kernel divide CPUs among groups
    (cpuset): who comes into such a group may run on every CPU of it. CPUs that `isolcpus` isolates
    are in no domain that the scheduler balances over (Linux, Documentation/admin-guide/
    kernel-parameters, isolcpus=domain), so a thread that may run elsewhere too is not moved there.
    """
    isolated = set(state.isolated)
    return isolated.issuperset(hit) and not isolated.issuperset(thread.allowed)


def check_pmd_threads(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each thread that polls runs on its own CPU alone: a group of processes can move it."""
    del plan
    for thread in state.threads:
        match = _PMD_NAME.match(thread.name) if thread.process == SWITCH else None
        if match is None or thread.allowed == (int(match[1]),):
            continue
        yield Verdict(
            code="pmd.moved",
            severity=Severity.DEGRADED,
            subject=Subject(f"CPU {int(match[1])}"),
            message=f"the thread that should poll on CPU {int(match[1])} may run on CPU "
            f"{cpuset.render_list(thread.allowed)}",
            evidence=f"/proc/{thread.pid}/task/{thread.tid}/status Cpus_allowed_list: "
            f"{cpuset.render_list(thread.allowed)} ({thread.name})",
            remedy=f"taskset -cp {int(match[1])} {thread.tid}, and find out who moved it: taskset, "
            "or AllowedCPUs= of its group without that CPU",
        )


def check_every_pmd(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each CPU of pmd-cpu-mask has a thread that polls, where any has."""
    del plan
    asked = set(cpuset.find_mask(state.other_config.get("pmd-cpu-mask", "")))
    left = sorted(asked & set(state.online) - set(state.pmds))
    if state.pmds and left:
        yield Verdict(
            code="pmd.missing",
            severity=Severity.DEGRADED,
            subject=Subject(f"CPU {cpuset.render_list(left)}"),
            message=f"no thread polls on CPU {cpuset.render_list(left)} of pmd-cpu-mask",
            evidence="pmd-rxq-show: PMD threads on core "
            f"{cpuset.render_list(sorted(state.pmds))} only",
            remedy="restart Open vSwitch; its log says why a thread was not made",
        )


def check_irqs(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """No interrupt lands on an isolated CPU."""
    owned = _polled(state, plan)
    at = {cpu: index for index, cpu in enumerate(state.online)}
    hit: dict[str, tuple[int, ...]] = {}
    for irq, cpus in state.irqs.items():
        # A queue of a disk may be bound to its CPU by the kernel; it fires only where that CPU uses
        # the disk, so what counts is whether it does.
        counts = state.interrupts.get(irq, ())
        fired = sum(counts[at[cpu]] for cpu in cpus if at.get(cpu, len(counts)) < len(counts))
        if cpus and owned.issuperset(cpus) and fired >= MANY_INTERRUPTS:
            hit[irq] = cpus
    if hit:
        first = sorted(hit, key=lambda irq: (len(irq), irq))
        yield Verdict(
            code="irq.isolated",
            severity=Severity.DEGRADED,
            subject=Subject(f"IRQ {', '.join(first[:6])}"),
            message=f"{len(hit)} interrupts land on CPUs that poll or belong to instances",
            evidence=f"/proc/irq/{first[0]}/effective_affinity_list: "
            f"{cpuset.render_list(hit[first[0]])}",
            remedy="irqaffinity= on the kernel line, and no irqbalance over isolated CPUs",
        )


def check_drops(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Count what was dropped; a count is no rate, so it is advice until it grows."""
    del plan
    for one in state.interfaces:
        counts = {
            key: value
            for key, value in one.statistics.items()
            if value
            and (
                key in {"rx_missed_errors", "rx_dropped", "tx_dropped", "ovs_rx_qos_drops"}
                or key == "ovs_tx_failure_drops"
            )
        }
        if counts and one.type.startswith("dpdk"):
            said = ", ".join(f"{key} {value}" for key, value in sorted(counts.items()))
            yield Verdict(
                code="port.drops",
                severity=Severity.ADVICE,
                subject=Subject(one.name),
                message=f"{one.name} has dropped packets since it was made: {said}",
                evidence=f"Interface {one.name} statistics: {said}",
                remedy="check again in a minute; where it grows, more queues or PMD cores",
            )


PRACTICE = (
    Rule(check_isolation, (ovs.PMDS,), with_switch, switch_runs),
    Rule(check_shut, (ovs.PMDS,), with_switch),
    Rule(check_balance, (ovs.PMDS,), with_switch),
    Rule(
        check_threads,
        (procfs.THREADS,),
        given=isolates,
        helped_by=(ovs.SWITCH, oslo_conf.NOVA),
    ),
    Rule(check_pmd_threads, (procfs.THREADS,), with_switch),
    Rule(check_every_pmd, (ovs.PMDS, ovs.SWITCH), with_switch, switch_runs),
    Rule(check_irqs, (procfs.INTERRUPTS,), given=isolates_polling, helped_by=(ovs.SWITCH,)),
    Rule(check_drops, (ovs.INTERFACES,), with_switch),
)
