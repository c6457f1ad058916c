"""Checks of instances: each runs, with its memory and helpers, where Nova put it."""

from collections.abc import Iterator

from isthmus.facts import cpuset
from isthmus.facts.host import libvirt, oslo_conf, ovs, procfs
from isthmus.facts.host.libvirt import Domain
from isthmus.facts.host.oslo_conf import find_nova_cpus
from isthmus.facts.host.procfs import Thread, is_emulator
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import (
    Rule,
    Unseen,
    both,
    is_hidden,
    switch_runs,
    unless_hidden,
    with_instances,
)
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.cores import polling


def _option(state: HostState, plan: HostPlan | None, key: str) -> set[int]:
    return set(find_nova_cpus(plan.nova if plan else state.nova, key))


def is_vcpu(thread: Thread) -> bool:
    """Tell whether a thread is a virtual CPU, by the name that QEMU gives it."""
    return (
        is_emulator(thread.process)
        and thread.name.startswith("CPU ")
        and thread.name.endswith(("/KVM", "/TCG"))
    )


def check_vcpus(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Virtual CPUs stay in the set of their kind, and no two own one CPU."""
    dedicated = _option(state, plan, "cpu_dedicated_set")
    shared = _option(state, plan, "cpu_shared_set")
    poll = set(polling(state))
    # A single shared CPU is shared by all that have it, and so may be any where none is known.
    knows = plan is not None or not is_hidden(state, oslo_conf.NOVA)
    owners: dict[int, Thread] = {}
    for thread in filter(is_vcpu, state.threads):
        strange = sorted(set(thread.allowed) - dedicated)
        if dedicated and strange and not shared.issuperset(thread.allowed):
            yield Verdict(
                code="instance.unpinned",
                severity=Severity.BROKEN,
                subject=Subject(f"{thread.process} ({thread.pid})"),
                message=f"{thread.name} may run on CPU {cpuset.render_list(strange)}, outside "
                "cpu_dedicated_set",
                evidence=_evidence(thread),
                remedy="give its flavor hw:cpu_policy=dedicated and resize or rebuild it",
            )
        if hit := sorted(poll.intersection(thread.allowed)):
            yield Verdict(
                code="instance.on_pmd",
                severity=Severity.BROKEN,
                subject=Subject(f"{thread.process} ({thread.pid})"),
                message=f"{thread.name} may run on CPU {cpuset.render_list(hit)}, where a PMD "
                "polls",
                evidence=_evidence(thread),
                remedy="set cpu_dedicated_set and cpu_shared_set without it, then migrate the "
                "instance away and back",
            )
        for cpu in thread.allowed if len(thread.allowed) == 1 else ():
            if cpu in owners and knows and cpu not in shared - dedicated:
                yield Verdict(
                    code="instance.overlap",
                    severity=Severity.BROKEN,
                    subject=Subject(f"CPU {cpu}"),
                    message=f"two virtual CPUs (of processes {owners[cpu].pid} and {thread.pid}) "
                    f"have pinned CPU {cpu}",
                    evidence=f"both threads' Cpus_allowed_list: {cpu}",
                    remedy="migrate one away; Nova's records of one are wrong",
                )
            owners[cpu] = thread


def _evidence(thread: Thread) -> str:
    return (
        f"/proc/{thread.pid}/task/{thread.tid}/status Cpus_allowed_list: "
        f"{cpuset.render_list(thread.allowed)}"
    )


def check_domains(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Instances are pinned as libvirt, and so Nova, says; vhost-user has shared huge pages."""
    dedicated = _option(state, plan, "cpu_dedicated_set")
    shared = _option(state, plan, "cpu_shared_set")
    threads = {thread.tid: thread for thread in state.threads}
    for domain in state.domains:
        # Nova "pins" each shared virtual CPU to all shared CPUs of a node; with the policy `mixed`
        # an instance has both kinds.
        pins = [cpus for cpus in domain.pins.values() if not _floats(state, shared, cpus)]
        outside = sorted({cpu for cpus in pins for cpu in cpus} - dedicated)
        if dedicated and outside:
            yield Verdict(
                code="instance.pins",
                severity=Severity.BROKEN,
                subject=Subject(domain.name),
                message=f"{domain.name} is pinned to CPU {cpuset.render_list(outside)}, outside "
                "cpu_dedicated_set",
                evidence=f"libvirt's vcpupin of {domain.name}",
                remedy="migrate it away and back",
            )
        yield from _check_dedicated_overlap(domain, state)
        yield from _check_moved(domain, threads)
        yield from _check_vhost_user(domain)
        if domain.vhost_user and not domain.hugepages:
            yield Verdict(
                code="instance.pages",
                severity=Severity.BROKEN,
                subject=Subject(domain.name),
                message=f"{domain.name} has a vhost-user interface but no huge pages: no packet "
                "passes",
                evidence=f"libvirt: memoryBacking of {domain.name} has no hugepages",
                remedy="set hw:mem_page_size=large on its flavor and resize it",
            )


def _check_vhost_user(domain: Domain) -> Iterator[Verdict]:
    """The switch reaches an instance's packets in its memory, which must be shared for that."""
    if domain.vhost_user and domain.hugepages and domain.shared_memory is False:
        yield Verdict(
            code="instance.pages",
            severity=Severity.BROKEN,
            subject=Subject(domain.name),
            message=f"{domain.name} has a vhost-user interface, but its memory is not shared: no "
            "packet passes",
            evidence=f"libvirt: no cell of {domain.name} has memAccess='shared'",
            remedy="set hw:mem_page_size=large on its flavor and resize it, so that Nova writes it "
            "anew",
        )


def check_vhost_ports(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each vhost-user interface of an instance is a port of the switch's, and is connected."""
    del plan
    there = {one.name: one for one in state.interfaces}
    for domain in state.domains:
        for port in domain.vhost_user:
            if port not in there:
                yield Verdict(
                    code="instance.port",
                    severity=Severity.BROKEN,
                    subject=Subject(domain.name),
                    message=f"the vhost-user interface {port} of {domain.name} is no port of Open "
                    "vSwitch: no packet passes",
                    evidence=f"no Interface {port}",
                    remedy="stop and start the instance, so that os-vif makes its port anew, and "
                    "find out who took it away",
                )
            elif there[port].status.get("status") == "disconnected":
                yield _say_disconnected(state, domain, port)


def _say_disconnected(state: HostState, domain: Domain, port: str) -> Verdict:
    """Say that a port is not connected: that is also so until the guest's driver has started."""
    denied = [
        line
        for line in state.switch_log.splitlines()
        if f"/{port})" in line and "Permission denied" in line
    ]
    return Verdict(
        code="instance.port",
        severity=Severity.BROKEN if denied else Severity.ADVICE,
        subject=Subject(domain.name),
        message=f"the vhost-user interface {port} of {domain.name} is not connected: "
        + ("Open vSwitch may not use its socket" if denied else "no packet passes so far"),
        evidence=denied[-1][:300] if denied else f"Interface {port}: status disconnected",
        remedy="let Open vSwitch's user write to the sockets in the folder, then restart it"
        if denied
        else "nothing is wrong while its guest has not started its driver; where it has, look for "
        "its socket in ovs-vswitchd.log, and stop and start the instance",
    )


def has_vhost_user(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where an instance has a vhost-user interface."""
    del plan
    if any(domain.vhost_user for domain in state.domains):
        return ""
    return unless_hidden(state, "no instance has a vhost-user interface", libvirt.DOMAINS)


def _floats(state: HostState, shared: set[int], cpus: tuple[int, ...]) -> bool:
    """Tell whether a virtual CPU may use all shared CPUs of its node, or of several."""
    nodes = [
        {cpu for core in state.inventory.cores_of(node) for cpu in core.cpus} & shared
        for node in state.inventory.node_ids
    ]
    mine = set(cpus)
    return bool(mine) and all(not mine & node or node <= mine for node in nodes) and mine <= shared


def _check_dedicated_overlap(domain: Domain, state: HostState) -> Iterator[Verdict]:
    """An instance's pinned CPUs are none that poll."""
    poll = set(polling(state))
    hit = sorted({cpu for cpus in domain.pins.values() for cpu in cpus} & poll)
    if hit:
        yield Verdict(
            code="instance.on_pmd",
            severity=Severity.BROKEN,
            subject=Subject(domain.name),
            message=f"{domain.name} has virtual CPUs on CPU {cpuset.render_list(hit)}, where a PMD "
            "polls",
            evidence=f"libvirt's vcpupin of {domain.name}; PMDs on {cpuset.render_list(poll)}",
            remedy="give each CPU one use (isthmus nfv plan, then apply), and migrate it away and "
            "back",
        )


def _check_moved(domain: Domain, threads: dict[int, Thread]) -> Iterator[Verdict]:
    for vcpu, cpus in sorted(domain.pins.items()):
        thread = threads.get(domain.tids.get(vcpu, -1))
        if thread is None or set(thread.allowed) == set(cpus):
            continue
        yield Verdict(
            code="instance.moved",
            severity=Severity.BROKEN,
            subject=Subject(domain.name),
            message=f"virtual CPU {vcpu} of {domain.name} runs on CPU "
            f"{cpuset.render_list(thread.allowed)}, Nova put it on {cpuset.render_list(cpus)}",
            evidence=_evidence(thread),
            remedy=f"virsh vcpupin {domain.name} {vcpu} {cpuset.render_list(cpus)}, and find out "
            "who moved it",
        )


def check_memory(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The memory of an instance is on the nodes of its virtual CPUs."""
    del plan
    node_of = state.inventory.cpu_nodes
    for domain in state.domains:
        nodes = {node_of[cpu] for cpus in domain.pins.values() for cpu in cpus if cpu in node_of}
        memory = set(domain.memory_nodes)
        if not nodes or not memory or memory <= nodes:
            continue
        far = ", ".join(map(str, sorted(memory - nodes)))
        yield Verdict(
            code="instance.memory",
            severity=Severity.DEGRADED,
            subject=Subject(domain.name),
            message=f"memory of {domain.name} is on node {far}, its virtual CPUs are on node "
            f"{', '.join(map(str, sorted(nodes)))}",
            evidence=f"libvirt's numatune of {domain.name}: nodeset {far}"
            + (f", mode {domain.memory_mode}" if domain.memory_mode else ""),
            remedy="migrate it away and back: a live migration kept the nodes of where it was",
        )


def check_emulators(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """What QEMU runs beside virtual CPUs keeps off CPUs that poll or belong to other instances."""
    poll = set(plan.pmd_cpus) if plan else set(polling(state))
    dedicated = _option(state, plan, "cpu_dedicated_set")
    own = {domain.name: _cpus(domain) for domain in state.domains}
    for domain in state.domains:
        others = {cpu for name, cpus in own.items() if name != domain.name for cpu in cpus}
        for what, cpus in (
            ("emulator", domain.emulator),
            *((f"I/O thread {number}", one) for number, one in sorted(domain.io_threads.items())),
        ):
            if hit := sorted(set(cpus) & (poll | others)):
                yield _say_helper(
                    domain.name,
                    f"the {what} of {domain.name} may run on CPU {cpuset.render_list(hit)}",
                    hit,
                    poll,
                    f"libvirt: {domain.name} {what} on {cpuset.render_list(cpus)}",
                    "emulator",
                )
    yield from _check_helpers(state, poll, dedicated)


def _cpus(domain: Domain) -> set[int]:
    """CPUs that an instance owns: those to which one virtual CPU alone is pinned."""
    return {cpu for cpus in domain.pins.values() if len(cpus) == 1 for cpu in cpus}


def _say_helper(
    subject: str, said: str, hit: list[int], poll: set[int], evidence: str, kind: str
) -> Verdict:
    whose = "where a PMD polls" if poll & set(hit) else "which belongs to another instance"
    return Verdict(
        code=f"instance.{kind}",
        severity=Severity.DEGRADED,
        subject=Subject(subject),
        message=f"{said}, {whose}: packets are lost whenever it runs there",
        evidence=evidence,
        remedy="set cpu_shared_set in nova.conf and hw:emulator_threads_policy=share on its "
        "flavor, then resize or rebuild it",
    )


def _check_helpers(state: HostState, poll: set[int], dedicated: set[int]) -> Iterator[Verdict]:
    """Check the threads themselves: libvirt's configuration is not what the kernel has."""
    by_pid: dict[int, list[Thread]] = {}
    for thread in state.threads:
        if is_emulator(thread.process) and not thread.is_kernel:
            by_pid.setdefault(thread.pid, []).append(thread)
    owned = {
        pid: {cpu for one in them if is_vcpu(one) for cpu in one.allowed if len(one.allowed) == 1}
        for pid, them in by_pid.items()
    }
    names = {tid: domain for domain in state.domains for tid in domain.tids.values()}
    for pid, them in by_pid.items():
        others = {cpu for other, cpus in owned.items() if other != pid for cpu in cpus}
        domain = next((names[one.tid] for one in them if one.tid in names), None)
        mine = owned[pid] | (set(domain.emulator) if domain else set())
        for io_cpus in domain.io_threads.values() if domain else ():
            mine |= set(io_cpus)
        for thread in them:
            if is_vcpu(thread):
                continue
            hit = sorted(set(thread.allowed) & (poll | others | (dedicated - mine)))
            if hit:
                name = domain.name if domain else f"{thread.process} ({pid})"
                yield _say_helper(
                    name,
                    f"thread {thread.name} of {name} may run on CPU {cpuset.render_list(hit)}",
                    hit,
                    poll,
                    _evidence(thread),
                    "helper",
                )
                break  # one thread of a process says it all


#: Which CPUs are whose.
_SETS = (oslo_conf.NOVA, ovs.SWITCH)
PRACTICE = (
    Rule(check_vcpus, (procfs.THREADS,), with_instances, helped_by=_SETS),
    Rule(check_domains, (procfs.THREADS, libvirt.DOMAINS), with_instances, helped_by=_SETS),
    Rule(check_vhost_ports, (ovs.INTERFACES,), both(with_instances, has_vhost_user), switch_runs),
    Rule(check_memory, (libvirt.DOMAINS,), with_instances),
    Rule(check_emulators, (procfs.THREADS, libvirt.DOMAINS), with_instances, helped_by=_SETS),
)
