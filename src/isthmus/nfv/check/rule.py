"""Rules: one check each, with what it needs to see and to which hosts it applies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Ruling, Severity, Subject, Verdict
from isthmus.nfv.check.state import HostState

APPLY = "isthmus nfv apply puts it right"
Check = Callable[[HostState, HostPlan | None], Iterator[Verdict]]
Applies = Callable[[HostState, HostPlan | None], bool]


def always(state: HostState, plan: HostPlan | None) -> bool:
    """Tell that a rule applies to every host."""
    del state, plan
    return True


def where_planned(what: Callable[[HostPlan], object]) -> Applies:
    """Make a rule apply to hosts whose plan has something of a kind."""
    return lambda _, plan: plan is not None and bool(what(plan))


def with_switch(state: HostState, plan: HostPlan | None) -> bool:
    """Tell whether a host has, or should have, an Open vSwitch with DPDK."""
    return bool(plan and plan.dpdk_ports) or state.other_config.get("dpdk-init") == "true"


def with_instances(state: HostState, plan: HostPlan | None) -> bool:
    """Tell whether instances run on a host."""
    del plan
    return bool(state.domains) or any(is_emulator(one.process) for one in state.threads)


#: Processes that are instances.
EMULATORS = ("qemu-system", "qemu-kvm", "kvm")


def is_emulator(process: str) -> bool:
    """Tell whether a process is an instance, by its name; `kvm-nx-lpage` and the like are not."""
    return process.startswith(EMULATORS[:2]) or process == "kvm"


def drift(
    code: str,
    subject: str,
    message: str,
    evidence: str,
    remedy: str = APPLY,
    severity: Severity = Severity.BROKEN,
) -> Verdict:
    """Make the finding that something is not as planned."""
    return Verdict(
        code=code,
        severity=severity,
        subject=Subject(subject),
        message=message,
        evidence=evidence,
        remedy=remedy,
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """One check."""

    check: Check
    needs: tuple[str, ...] = ()  #: of `state.SOURCES`
    applies: Applies = always

    @property
    def name(self) -> str:
        """What people call it."""
        return self.check.__name__.removeprefix("check_").replace("_", " ")

    def run(self, state: HostState, plan: HostPlan | None) -> tuple[Ruling, list[Verdict]]:
        """Run the check; one that crashes has found out nothing, and says so."""
        try:
            if not self.applies(state, plan):
                return Ruling(check=self.name, answer=Answer.NOT_APPLICABLE), []
            if missing := [name for name in self.needs if name not in state.seen]:
                return (
                    Ruling(check=self.name, answer=Answer.NOT_SEEN, why=", ".join(missing)),
                    [],
                )
            found = list(self.check(state, plan))
        except Exception as exc:  # noqa: BLE001 - one of the four places that may
            found = [
                Verdict(
                    code="check.crashed",
                    severity=Severity.UNKNOWN,
                    subject=Subject(self.name),
                    message=f"the check of {self.name} could not tell: {type(exc).__name__}",
                    evidence=f"{type(exc).__name__}: {str(exc)[:200]}",
                    remedy="send the facts (isthmus nfv inspect --facts) with a bug report",
                )
            ]
        answer = Answer.FOUND if found else Answer.FINE
        return Ruling(check=self.name, answer=answer), found
