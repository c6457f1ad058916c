"""Checks of Nova's and Neutron's options: the planned ones count, and none undoes another."""

import json
from collections.abc import Iterator, Mapping, Sequence

from isthmus.facts import cpuset
from isthmus.facts.host import oslo_conf
from isthmus.facts.host.oslo_conf import OPTION_FILES
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import APPLY, Rule, where_planned
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.memory import parse_reserved
from isthmus.nfv.plan.settings import OLD_OPTIONS

CPU_OPTIONS = frozenset({"compute/cpu_dedicated_set", "compute/cpu_shared_set"})
#: Options that may be given several times, each counting.
MULTI_OPTIONS = frozenset({"DEFAULT/reserved_huge_pages", "pci/device_spec", "pci/alias"})
#: Options of comma-separated parts in any order.
LISTS = frozenset({"neutron/physnets", "ovs/bridge_mappings", "sriov_nic/physical_device_mappings"})
#: Options that are numbers.
RATIOS = frozenset({"DEFAULT/cpu_allocation_ratio", "DEFAULT/ram_allocation_ratio"})
#: Whose options are on the host; OVN's are the control plane's.
AGENTS = ("ovs/", "sriov_nic/")


def agent_options(neutron: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the options of Neutron that a host itself has."""
    return {key: values for key, values in neutron.items() if key.startswith(AGENTS)}


def check_nova(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Nova's effective options are the planned ones."""
    assert plan is not None
    where = OPTION_FILES[state.layout][0][0].rpartition("/")[0] or "/etc/nova"
    for key, values in plan.nova.items():
        given = _effective(state.nova, key)
        if not _same_option(key, values, given):
            yield _say_option("Nova", "nova", where, key, values, given, "nova-compute")


def check_neutron(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The options of Neutron's agents are the planned ones."""
    assert plan is not None
    where = OPTION_FILES[state.layout][1][0]
    for key, values in agent_options(plan.neutron).items():
        given = _effective(state.neutron, key)
        if not _same_option(key, values, given):
            yield _say_option("Neutron", "neutron", where, key, values, given, "the agent")


def _effective(options: Mapping[str, tuple[str, ...]], key: str) -> tuple[str, ...]:
    given = options.get(key, ())
    return given if key in MULTI_OPTIONS else given[-1:]


def _say_option(
    whose: str,
    code: str,
    where: str,
    key: str,
    values: Sequence[str],
    given: Sequence[str],
    service: str,
) -> Verdict:
    section, _, option = key.partition("/")
    return Verdict(
        code=f"{code}.{option}",
        severity=Severity.BROKEN,
        subject=Subject(f"[{section}] {option}"),
        message=f"{whose}'s [{section}] {option} is {' and '.join(given) or 'not set'}, planned "
        f"is {' and '.join(values)}",
        evidence=f"{where}: {option} = {' and '.join(given)}" if given else f"not in {where}",
        remedy=f"{APPLY}; it restarts {service}",
    )


def _same_option(key: str, planned: tuple[str, ...], given: tuple[str, ...]) -> bool:
    """Tell whether an option means what is planned; Nova has several spellings for the most."""
    if planned == given:
        return True
    if key in CPU_OPTIONS and given:
        return set(cpuset.parse_list(planned[0])) == set(
            oslo_conf.find_nova_cpus({key: given}, key)
        )
    if key in LISTS:
        return _parts(planned) == _parts(given)
    if key == "DEFAULT/reserved_huge_pages":
        return _reserves(planned) == _reserves(given)
    if key in RATIOS:
        return _number(planned) == _number(given)
    return sorted(_meanings(planned)) == sorted(_meanings(given))


def _parts(values: Sequence[str]) -> list[str]:
    return sorted(part.strip() for value in values for part in value.replace("\n", "").split(","))


def _reserves(values: Sequence[str]) -> dict[tuple[int, int], int] | Sequence[str]:
    try:
        return parse_reserved(values)
    except ValueError:
        return values


def _number(values: Sequence[str]) -> float | None:
    try:
        return float(values[-1]) if values else None
    except ValueError:
        return None


def _meanings(values: Sequence[str]) -> Iterator[str]:
    """Normalise JSON: blanks and order do not matter, and a list is all that is in it."""
    for value in values:
        try:
            read = json.loads(value)
        except ValueError:
            yield value
            continue
        for one in read if isinstance(read, list) else [read]:
            yield json.dumps(one, sort_keys=True)


def check_old(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """No old option stands beside the new sets: nova-compute does not start with both."""
    del plan
    new = [key for key in CPU_OPTIONS if key in state.nova]
    for key, clash in OLD_OPTIONS.items():
        value = state.nova.get(key, ("",))[-1]
        if not value or (key.endswith("reserved_host_cpus") and value == "0"):
            continue
        option = key.partition("/")[2]
        with_new = sorted(one.partition("/")[2] for one in new if one in clash)
        yield Verdict(
            code=f"nova.{option}",
            severity=Severity.BROKEN if with_new else Severity.ADVICE,
            subject=Subject(f"[DEFAULT] {option}"),
            message=f"{option} = {value} stands beside {' and '.join(with_new)}: nova-compute does "
            "not start"
            if with_new
            else f"{option} is an option of old: pinned instances have no CPUs of their own by it",
            evidence=f"[DEFAULT] {option} = {value}",
            remedy=f"take {option} out (isthmus nfv apply does)"
            if with_new
            else "set cpu_dedicated_set and cpu_shared_set in its place: isthmus nfv plan",
        )


PRACTICE = (Rule(check_old, (oslo_conf.NOVA,)),)
PLANNED = (
    Rule(
        check_nova,
        (),
        where_planned(lambda plan: plan.nova, "no option of Nova's is planned"),
        beside=(oslo_conf.NOVA,),
    ),
    Rule(
        check_neutron,
        (),
        where_planned(
            lambda plan: agent_options(plan.neutron), "no option of Neutron's agents is planned"
        ),
        beside=(oslo_conf.NEUTRON,),
    ),
)
