"""Checks of instances: each runs where Nova put it, and nobody else does."""

from collections.abc import Iterator

from isthmus.model.host_plan import HostPlan
from isthmus.model.nfv_finding import Finding, Severity
from isthmus.nfv import cpuset
from isthmus.nfv.check.planned import EMULATORS
from isthmus.nfv.check.state import Domain, HostState, Thread, parse_nova_cpus


def _option(state: HostState, plan: HostPlan | None, key: str) -> set[int]:
    return set(parse_nova_cpus(plan.nova if plan else state.nova, key))


def is_vcpu(thread: Thread) -> bool:
    """Tell whether a thread is a virtual CPU, by the name that QEMU gives it."""
    return (
        thread.process.startswith(EMULATORS)
        and thread.name.startswith("CPU ")
        and thread.name.endswith(("/KVM", "/TCG"))
    )


def check_vcpus(state: HostState, plan: HostPlan | None) -> Iterator[Finding]:
    """Virtual CPUs stay in the set of their kind, and no two own one CPU."""
    dedicated = _option(state, plan, "cpu_dedicated_set")
    shared = _option(state, plan, "cpu_shared_set")
    owners: dict[int, Thread] = {}
    for thread in filter(is_vcpu, state.threads):
        strange = sorted(set(thread.allowed) - dedicated)
        if dedicated and strange and not shared.issuperset(thread.allowed):
            yield Finding(
                code="instance.unpinned",
                severity=Severity.BROKEN,
                subject=f"{thread.process} ({thread.pid})",
                message=f"{thread.name} may run on CPU {cpuset.render_list(strange)}, outside "
                "cpu_dedicated_set",
                evidence=_evidence(thread),
                remedy="give its flavor hw:cpu_policy=dedicated and resize or rebuild it",
            )
        for cpu in thread.allowed if len(thread.allowed) == 1 else ():
            if cpu in owners:
                yield Finding(
                    code="instance.overlap",
                    severity=Severity.BROKEN,
                    subject=f"CPU {cpu}",
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


def check_domains(state: HostState, plan: HostPlan | None) -> Iterator[Finding]:
    """Instances are pinned as libvirt, and so Nova, says; vhost-user has huge pages."""
    dedicated = _option(state, plan, "cpu_dedicated_set")
    threads = {thread.tid: thread for thread in state.threads}
    for domain in state.domains:
        outside = sorted({cpu for cpus in domain.pins.values() for cpu in cpus} - dedicated)
        if domain.pins and dedicated and outside and not _floats(state, plan, domain):
            yield Finding(
                code="instance.pins",
                severity=Severity.BROKEN,
                subject=domain.name,
                message=f"{domain.name} is pinned to CPU {cpuset.render_list(outside)}, outside "
                "cpu_dedicated_set",
                evidence=f"libvirt's vcpupin of {domain.name}",
                remedy="migrate it away and back",
            )
        yield from _check_moved(domain, threads)
        if domain.vhost_user and not domain.hugepages:
            yield Finding(
                code="instance.pages",
                severity=Severity.BROKEN,
                subject=domain.name,
                message=f"{domain.name} has a vhost-user interface but no huge pages: no packet "
                "passes",
                evidence=f"libvirt: memoryBacking of {domain.name} has no hugepages",
                remedy="set hw:mem_page_size=large on its flavor and resize it",
            )


def _floats(state: HostState, plan: HostPlan | None, domain: Domain) -> bool:
    """Tell whether an instance shares CPUs: Nova then "pins" each virtual CPU to all of a node."""
    shared = _option(state, plan, "cpu_shared_set")
    return all(len(cpus) > 1 and shared.issuperset(cpus) for cpus in domain.pins.values())


def _check_moved(domain: Domain, threads: dict[int, Thread]) -> Iterator[Finding]:
    for vcpu, cpus in sorted(domain.pins.items()):
        thread = threads.get(domain.tids.get(vcpu, -1))
        if thread is None or set(thread.allowed) == set(cpus):
            continue
        yield Finding(
            code="instance.moved",
            severity=Severity.BROKEN,
            subject=domain.name,
            message=f"virtual CPU {vcpu} of {domain.name} runs on CPU "
            f"{cpuset.render_list(thread.allowed)}, Nova put it on {cpuset.render_list(cpus)}",
            evidence=_evidence(thread),
            remedy=f"virsh vcpupin {domain.name} {vcpu} {cpuset.render_list(cpus)}, and find out "
            "who moved it",
        )
