"""All checks of one host, run one by one. Each topic lists its own rules."""

from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Report, Ruling, Severity, Subject, Verdict, order
from isthmus.nfv.check.rule import Rule
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic import (
    bridges,
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
    *cores.PRACTICE,
    *practice.PRACTICE,
    *ports.PRACTICE,
    *instances.PRACTICE,
    *kernel.PRACTICE,
    *memory.PRACTICE,
    *options.PRACTICE,
    *services.PRACTICE,
    *devices.PRACTICE,
    *bridges.PRACTICE,
    *planned.PRACTICE,
)
#: What holds a host against its plan.
PLANNED: tuple[Rule, ...] = (
    *cores.PLANNED,
    *kernel.PLANNED,
    *planned.PLANNED,
    *memory.PLANNED,
    *ports.PLANNED,
    *bridges.PLANNED,
    *devices.PLANNED,
    *options.PLANNED,
)


def check_host(state: HostState, plan: HostPlan | None = None) -> Report:
    """Check a host against its plan, if there is one, and against good practice."""
    rulings, found = [], []
    for rule in (*(PLANNED if plan is not None else ()), *PRACTICE):
        ruling, mine = rule.run(state, plan)
        rulings.append(ruling)
        found += mine
    found += _say_unseen(state, plan, [one for one in rulings if one.answer is Answer.NOT_SEEN])
    return Report(findings=tuple(sorted(found, key=order)), rulings=tuple(rulings))


def _say_unseen(state: HostState, plan: HostPlan | None, missing: list[Ruling]) -> list[Verdict]:
    """Report what could not be seen of a plan: no finding proves nothing then."""
    # That no daemon answers is a fact of the switch too, and says nothing of a host by itself.
    has_switch = "switch" in state.seen and (state.ovs_runs or state.other_config)
    has_nova = "nova" in state.seen and state.nova
    if not (has_switch or has_nova or state.domains):
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
    names = sorted({name for one in missing for name in one.why.split(", ")})
    return [
        Verdict(
            code="check.unseen",
            severity=Severity.UNKNOWN,
            subject=Subject(", ".join(names)),
            message=f"{len(missing)} checks of the plan could not be made: {', '.join(names)} not "
            "seen",
            evidence="; ".join(dict.fromkeys(one.detail for one in missing)),
            remedy="gather the facts anew, as root, with this version",
        )
    ]
