"""All checks of one host, run one by one."""

from collections.abc import Callable, Iterator

from isthmus.model.host_plan import HostPlan
from isthmus.model.nfv_finding import Finding, Severity, order
from isthmus.nfv.check import instances, planned, practice
from isthmus.nfv.check.state import HostState

PLAN_CHECKS: tuple[Callable[[HostState, HostPlan], Iterator[Finding]], ...] = (
    planned.check_cpus_online,
    planned.check_kernel_line,
    planned.check_isolation,
    planned.check_files,
    planned.check_pages,
    planned.check_pages_in_use,
    planned.check_switch,
    planned.check_ports,
    planned.check_devices,
    planned.check_nova,
    planned.check_tuned,
)
PRACTICE_CHECKS: tuple[Callable[[HostState, HostPlan | None], Iterator[Finding]], ...] = (
    practice.check_sets,
    practice.check_isolation,
    practice.check_locality,
    practice.check_shut,
    practice.check_balance,
    practice.check_threads,
    instances.check_vcpus,
    instances.check_domains,
    practice.check_irqs,
    practice.check_memory,
    practice.check_drops,
    practice.check_iommu,
)


def check_host(state: HostState, plan: HostPlan | None = None) -> tuple[Finding, ...]:
    """Hold a host against its plan, where there is one, and against good practice.

    Returns:
        Findings, the worst first; empty for a host with nothing to say about.
    """
    found: list[Finding] = []
    if plan is not None:
        for check in PLAN_CHECKS:
            found += _run(check.__name__, lambda check=check: check(state, plan))  # type: ignore[misc]
    for rule in PRACTICE_CHECKS:
        found += _run(rule.__name__, lambda rule=rule: rule(state, plan))  # type: ignore[misc]
    return tuple(sorted(found, key=order))


def _run(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Run one check; one that crashes has found out nothing, and says so."""
    try:
        return list(check())
    except Exception as exc:  # noqa: BLE001 - one of the four places that may
        return [
            Finding(
                code="check.crashed",
                severity=Severity.UNKNOWN,
                subject=name,
                message=f"{name} could not tell: {exc}",
                evidence=f"{type(exc).__name__}: {exc}",
                remedy="send the facts (isthmus nfv inspect --facts) with a bug report",
            )
        ]
