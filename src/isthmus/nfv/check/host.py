"""All checks of one host, run one by one."""

from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Report, Severity, Subject, Verdict, order
from isthmus.nfv.check.rule import Rule, where_planned, with_instances, with_switch
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic import (
    cores,
    devices,
    instances,
    kernel,
    memory,
    options,
    planned,
    ports,
    practice,
    services,
)

#: What holds for every host, with a plan or without one.
PRACTICE: tuple[Rule, ...] = (
    Rule(cores.check_sets, ("nova", "switch")),
    Rule(cores.check_lcores, ("switch",), with_switch),
    Rule(practice.check_isolation, ("pmds",), with_switch),
    Rule(practice.check_shut, ("pmds",), with_switch),
    Rule(practice.check_balance, ("pmds",), with_switch),
    Rule(practice.check_threads, ("threads",)),
    Rule(practice.check_irqs),
    Rule(practice.check_drops, ("interfaces",), with_switch),
    Rule(ports.check_dpdk, ("switch",), with_switch),
    Rule(ports.check_errors, ("interfaces",)),
    Rule(ports.check_locality, ("interfaces", "pmds"), with_switch),
    Rule(ports.check_unpolled, ("interfaces", "pmds"), with_switch),
    Rule(instances.check_vcpus, ("threads",), with_instances),
    Rule(instances.check_domains, ("threads",), with_instances),
    Rule(instances.check_memory, (), with_instances),
    Rule(instances.check_emulators, ("threads",), with_instances),
    Rule(kernel.check_nohz),
    Rule(kernel.check_pages_asked),
    Rule(memory.check_reserved, ("nova", "switch"), with_switch),
    Rule(memory.check_socket_pages, ("switch",), with_switch),
    Rule(memory.check_buffers, ("switch", "interfaces"), with_switch),
    Rule(options.check_old, ("nova",)),
    Rule(services.check_services, ("services",)),
    Rule(devices.check_iommu),
)
#: What holds a host against its plan.
PLANNED: tuple[Rule, ...] = (
    Rule(cores.check_online),
    Rule(cores.check_unplanned),
    Rule(kernel.check_line),
    Rule(kernel.check_isolated),
    Rule(kernel.check_default_page),
    Rule(kernel.check_default_irqs),
    Rule(planned.check_files),
    Rule(planned.check_digests, ("digests",)),
    Rule(planned.check_tuned),
    Rule(planned.check_mounts, ("mounts",)),
    Rule(planned.check_sockets, ("sockets",), where_planned(lambda plan: plan.dpdk_ports)),
    Rule(memory.check_pages),
    Rule(memory.check_pages_in_use, ("switch",), where_planned(lambda plan: plan.dpdk_ports)),
    Rule(
        ports.check_switch,
        ("switch",),
        where_planned(lambda plan: plan.other_config or plan.external_ids),
    ),
    Rule(ports.check_ports, ("interfaces",), where_planned(lambda plan: plan.dpdk_ports)),
    Rule(ports.check_bonds, ("ports",), where_planned(ports.bonds_of)),
    Rule(ports.check_bridges, ("ports",), where_planned(ports.bridges_of)),
    Rule(ports.check_kernel_ports, ("interfaces",), where_planned(lambda plan: plan.kernel_ports)),
    Rule(devices.check_dpdk_devices, (), where_planned(lambda plan: plan.dpdk_ports)),
    Rule(devices.check_sriov, (), where_planned(lambda plan: plan.sriov)),
    Rule(devices.check_functions, ("functions",), where_planned(lambda plan: plan.sriov)),
    Rule(options.check_nova, (), where_planned(lambda plan: plan.nova)),
    Rule(
        options.check_neutron, (), where_planned(lambda plan: options.agent_options(plan.neutron))
    ),
)


def check_host(state: HostState, plan: HostPlan | None = None) -> Report:
    """Check a host against its plan, if there is one, and against good practice."""
    rulings, found = [], []
    for rule in (*(PLANNED if plan is not None else ()), *PRACTICE):
        ruling, mine = rule.run(state, plan)
        rulings.append(ruling)
        found += mine
    found += _say_unseen(state, plan, [one.why for one in rulings if one.answer is Answer.NOT_SEEN])
    return Report(findings=tuple(sorted(found, key=order)), rulings=tuple(rulings))


def _say_unseen(state: HostState, plan: HostPlan | None, missing: list[str]) -> list[Verdict]:
    """Report what could not be seen of a plan: no finding proves nothing then."""
    if not ({"switch", "nova"} & state.seen or state.domains):
        return [
            Verdict(
                code="host.unseen",
                severity=Severity.UNKNOWN,
                subject=Subject("this host"),
                message="neither Open vSwitch nor Nova nor an instance was seen, so nothing can be "
                "said of this host",
                evidence=state.ovs_says or "no options of Nova's, no table of Open vSwitch's",
                remedy="run it as root on a compute host, or tell where they are with --layout",
            )
        ]
    if plan is None or not missing:
        return []
    names = sorted({name for one in missing for name in one.split(", ")})
    return [
        Verdict(
            code="check.unseen",
            severity=Severity.UNKNOWN,
            subject=Subject(", ".join(names)),
            message=f"{len(missing)} checks of the plan could not be made: {', '.join(names)} not "
            "seen",
            evidence="the facts do not have it",
            remedy="gather the facts anew, as root, with this version",
        )
    ]
