"""Rules: one check each, with the facts it needs and the hosts to which it applies."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.facts.fact import Absent, Fact, Why
from isthmus.facts.host import ovs, procfs
from isthmus.facts.host.procfs import is_emulator
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Ruling, Severity, Subject, Verdict
from isthmus.nfv.check.state import HostState

APPLY = "isthmus nfv apply puts it right"
Check = Callable[[HostState, HostPlan | None], Iterator[Verdict]]


@dataclass(frozen=True, slots=True)
class Unseen:
    """That nobody can tell whether a rule applies: facts that would say so could not be read."""

    facts: tuple[Fact[Any], ...]


#: Why a rule does not apply to a host; empty where it does.
Condition = Callable[[HostState, HostPlan | None], str | Unseen]


def unless_hidden(state: HostState, why: str, *facts: Fact[Any]) -> str | Unseen:
    """Return why a rule does not apply, where the facts that say so were seen.

    Args:
        state: of the host.
        why: what these facts say: that nothing of a kind is there.
        facts: what says so; one that is not on the host says so too, one that may not be read not.
    """
    hidden = tuple(fact for fact in facts if is_hidden(state, fact))
    return Unseen(hidden) if hidden else why


def always(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule to every host."""
    del state, plan
    return ""


def where_planned(what: Callable[[HostPlan], object], why: str) -> Condition:
    """Apply a rule to hosts whose plan has something of a kind; `why` says that it has none."""
    return lambda _, plan: "" if plan is not None and what(plan) else why


def without_plan(why: str) -> Condition:
    """Apply a rule to hosts that have no plan; `why` says what holds the others to theirs."""
    return lambda _, plan: why if plan is not None else ""


def both(one: Condition, two: Condition) -> Condition:
    """Apply a rule where both conditions hold."""
    return lambda state, plan: one(state, plan) or two(state, plan)


def with_switch(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule to hosts that have, or should have, an Open vSwitch with DPDK."""
    wanted = state.other_config.get("dpdk-init") in {"true", "try"}
    there = state.dpdk_initialized or any(one.type.startswith("dpdk") for one in state.interfaces)
    if (plan and plan.dpdk_ports) or wanted or there:
        return ""
    why = "Open vSwitch has no DPDK here (other_config:dpdk-init is neither true nor try)"
    return unless_hidden(state, why, ovs.SWITCH, ovs.INTERFACES)


def with_instances(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule to hosts on which instances run."""
    del plan
    if state.domains or any(is_emulator(one.process) for one in state.threads):
        return ""
    return unless_hidden(state, "no instance runs here", procfs.THREADS)


def switch_runs(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where Open vSwitch answers."""
    del plan
    return "" if state.ovs_runs else unless_hidden(state, "Open vSwitch does not run", ovs.SWITCH)


def drift(
    code: str,
    subject: str,
    message: str,
    evidence: str,
    remedy: str = APPLY,
    severity: Severity = Severity.BROKEN,
) -> Verdict:
    """Make the verdict that something is not as planned.

    Args:
        code: dotted and stable, such as `port.mtu`.
        subject: what it is about: the name of a port, a NIC, a file.
        message: one sentence with the value that is there and the planned one.
        evidence: the value that was read, and where.
        remedy: what a person does.
        severity: how bad it is.
    """
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
    needs: tuple[Fact[Any], ...] = ()
    applies: Condition = always
    given: Condition = always  #: asked once the facts are known to be there
    beside: tuple[Fact[Any], ...] = ()  #: facts of what need not be on the host, but is seen if so
    helped_by: tuple[Fact[Any], ...] = ()  #: of the same kind: without them it finds less, not more

    @property
    def name(self) -> str:
        """What people call it."""
        return self.check.__name__.removeprefix("check_").replace("_", " ")

    def run(self, state: HostState, plan: HostPlan | None) -> tuple[Ruling, list[Verdict]]:
        """Run the check; one that crashes has found out nothing, and says so."""
        try:
            if idle := self._find_why_not(state, plan):
                return idle, []
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
        if not found and (hidden := [one for one in self.helped_by if is_hidden(state, one)]):
            return self._not_seen(state, hidden), []
        answer = Answer.FOUND if found else Answer.FINE
        return Ruling(check=self.name, answer=answer), found

    def _find_why_not(self, state: HostState, plan: HostPlan | None) -> Ruling | None:
        """Return the ruling of a check that is not made on this host; None where it is made."""
        if why := self.applies(state, plan):
            return self._not_made(state, why)
        missing = [fact for fact in self.needs if fact.name not in state.seen]
        missing += [fact for fact in self.beside if is_hidden(state, fact)]
        for fact in missing:
            if _is_nothing_there(state, fact) and not _is_wanted(fact, plan):
                return self._not_made(state, state.absent[fact.name].detail)
        if missing:
            return self._not_seen(state, missing)
        if why := self.given(state, plan):
            return self._not_made(state, why)
        return None

    def _not_made(self, state: HostState, why: str | Unseen) -> Ruling:
        if isinstance(why, Unseen):
            return self._not_seen(state, why.facts)
        return Ruling(check=self.name, answer=Answer.NOT_APPLICABLE, why=why)

    def _not_seen(self, state: HostState, missing: Sequence[Fact[Any]]) -> Ruling:
        reasons = [state.absent.get(fact.name) or _not_gathered(fact.name) for fact in missing]
        return Ruling(
            check=self.name,
            answer=Answer.NOT_SEEN,
            why=", ".join(fact.name for fact in missing),
            detail="; ".join(one.detail for one in reasons),
        )


def is_hidden(state: HostState, fact: Fact[Any]) -> bool:
    """Tell whether a fact was not seen though what it is about may be on the host."""
    return fact.name not in state.seen and not _is_nothing_there(state, fact)


def _is_nothing_there(state: HostState, fact: Fact[Any]) -> bool:
    absent = state.absent.get(fact.name)
    return absent is not None and absent.is_nothing_there


def _is_wanted(fact: Fact[Any], plan: HostPlan | None) -> bool:
    """Tell whether a plan wants what a fact is about: one of virtual functions wants no switch."""
    if plan is None:
        return False
    switch = plan.dpdk_ports or plan.kernel_ports or plan.other_config or plan.external_ids
    return bool(switch) or fact.requires.package != "Open vSwitch"


def _not_gathered(name: str) -> Absent:
    return Absent(Why.NOT_GATHERED, f"the facts hold no {name}: gather them again")
