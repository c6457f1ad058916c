"""Checks of CPUs: each has one use, siblings stay together, and all that run are in the plan."""

from collections.abc import Iterator

from isthmus import errors
from isthmus.facts import cpuset
from isthmus.facts.host import oslo_conf, ovs
from isthmus.facts.host.oslo_conf import find_nova_cpus, parse_nova_cpus
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import Rule, is_hidden, with_switch, without_plan
from isthmus.nfv.check.state import HostState

#: What the CPUs of PMDs are called beside Nova's sets.
POLLING = "PMD threads"


def polling(state: HostState) -> tuple[int, ...]:
    """CPUs on which the switch polls, or would."""
    return tuple(sorted(state.pmds)) or cpuset.find_mask(state.other_config.get("pmd-cpu-mask", ""))


def check_nova_forms(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Nova reads its sets of CPUs: where it does not, nova-compute does not start."""
    del plan
    for key in ("compute/cpu_dedicated_set", "compute/cpu_shared_set", "DEFAULT/vcpu_pin_set"):
        section, _, option = key.partition("/")
        try:
            parse_nova_cpus(state.nova, key)
        except errors.Invalid as exc:
            yield Verdict(
                code=f"nova.{option}",
                severity=Severity.BROKEN,
                subject=Subject(f"[{section}] {option}"),
                message=f"nova-compute does not start: {exc.message}",
                evidence=f"{option} = {state.nova[key][-1][:80]}",
                remedy="write it as a list of CPUs and ranges: isthmus nfv plan, then apply",
            )


def check_masks(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Open vSwitch reads its masks of CPUs."""
    del plan
    for key in ("pmd-cpu-mask", "dpdk-lcore-mask"):
        given = state.other_config.get(key, "")
        try:
            cpuset.parse_mask(given)
        except errors.Invalid as exc:
            yield Verdict(
                code=f"ovs.{key}",
                severity=Severity.BROKEN,
                subject=Subject(f"other_config:{key}"),
                message=f"Open vSwitch cannot read other_config:{key}: {exc.message}",
                evidence=f"Open_vSwitch other_config:{key}={given[:80]}",
                remedy="write it as a hexadecimal mask: isthmus nfv plan, then apply",
            )


def check_online(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every planned CPU runs."""
    assert plan is not None
    may_sleep = powers_cpus(state) or is_hidden(state, oslo_conf.NOVA)
    asleep = plan.dedicated_cpus if may_sleep else ()
    if missing := sorted(_planned(plan) - set(state.online) - set(asleep)):
        yield Verdict(
            code="cpu.offline",
            severity=Severity.BROKEN,
            subject=Subject(f"CPU {cpuset.render_list(missing)}"),
            message=f"CPU {cpuset.render_list(missing)} is planned but does not run",
            evidence=f"/sys/devices/system/cpu/online: {cpuset.render_list(state.online)}",
            remedy="bring it online (echo 1 >/sys/devices/system/cpu/cpuN/online), or plan anew",
        )


def powers_cpus(state: HostState) -> bool:
    """Tell whether Nova itself takes CPUs of no instance off, and brings them back."""
    return state.nova.get("libvirt/cpu_power_management", ("",))[-1].lower() in {"true", "1", "yes"}


def check_sets_online(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every CPU that is given to something runs: nova-compute does not start with one that is off.

    Source:
        nova.virt.libvirt.driver, `_get_pcpu_available` and `_get_vcpu_available`.
    """
    del plan
    for name, cpus in list_uses(state).items():
        off = sorted(set(cpus) - set(state.online))
        if off and state.online and not (name == "cpu_dedicated_set" and powers_cpus(state)):
            yield Verdict(
                code="cpu.offline",
                severity=Severity.DEGRADED if name == POLLING else Severity.BROKEN,
                subject=Subject(f"CPU {cpuset.render_list(off)}"),
                message=f"CPU {cpuset.render_list(off)} is in {name} but does not run"
                + ("" if name == POLLING else ": nova-compute does not start"),
                evidence=f"/sys/devices/system/cpu/online: {cpuset.render_list(state.online)}; "
                f"{name}: {cpuset.render_list(cpus)}",
                remedy="bring it online (echo 1 >/sys/devices/system/cpu/cpuN/online), or take it "
                f"out of {name}",
            )


def _planned(plan: HostPlan) -> set[int]:
    return {*plan.host_cpus, *plan.shared_cpus, *plan.isolated_cpus}


def check_unplanned(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every CPU that runs is planned: siblings of polling CPUs switched on later are not."""
    assert plan is not None
    strange = sorted(set(state.online) - _planned(plan))
    if not strange:
        return
    poll = {*plan.pmd_cpus, *plan.dedicated_cpus}
    mates = sorted(
        cpu
        for core in state.inventory.cores
        if poll & set(core.cpus)
        for cpu in core.cpus
        if cpu in strange
    )
    said = f"; CPU {cpuset.render_list(mates)} shares a core with it" if mates else ""
    yield Verdict(
        code="cpu.unplanned",
        severity=Severity.DEGRADED,
        subject=Subject(f"CPU {cpuset.render_list(strange)}"),
        message=f"CPU {cpuset.render_list(strange)} runs but is in no plan"
        + (f": siblings of CPUs that poll or belong to instances{said}" if mates else ""),
        evidence=f"/sys/devices/system/cpu/online: {cpuset.render_list(state.online)}"
        + (
            f"; smt/active: {state.rest['/sys/devices/system/cpu/smt/active']}"
            if "/sys/devices/system/cpu/smt/active" in state.rest
            else ""
        ),
        remedy="switch hyper-threading off again (nosmt, or firmware), or take the inventory and "
        "plan anew",
    )


def list_uses(state: HostState) -> dict[str, tuple[int, ...]]:
    """Return the CPUs of each use that a host's own settings name."""
    return {
        POLLING: polling(state) if state.ovs_runs or not state.ovs_says else (),
        "cpu_dedicated_set": find_nova_cpus(state.nova, "cpu_dedicated_set"),
        "cpu_shared_set": find_nova_cpus(state.nova, "cpu_shared_set"),
        "vcpu_pin_set": find_nova_cpus(state.nova, "DEFAULT/vcpu_pin_set"),
    }


def check_sets(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """PMD, pinned and shared CPUs are disjoint and split no core."""
    sets = list_uses(state)
    names = list(sets)
    for index, one in enumerate(names):
        for two in names[index + 1 :]:
            both = sorted(set(sets[one]) & set(sets[two]))
            if both and not (two == "vcpu_pin_set" and index):
                yield Verdict(
                    code="cpu.overlap",
                    severity=Severity.BROKEN,
                    subject=Subject(f"CPU {cpuset.render_list(both)}"),
                    message=f"CPU {cpuset.render_list(both)} is in {one} and in {two}",
                    evidence=f"{one}: {cpuset.render_list(sets[one])}; {two}: "
                    f"{cpuset.render_list(sets[two])}",
                    remedy="give each CPU one use: isthmus nfv plan, then apply",
                )
    if plan is not None:
        return
    # A core of the host's beside one that polls is as bad, so what no set names is a use too.
    named = {cpu for cpus in sets.values() for cpu in cpus}
    polled = set(sets[POLLING])
    for core in state.inventory.cores:
        uses = {
            name
            for name in names
            for cpu in core.cpus
            # Beside the set that replaced it, the old one is said to be wrong elsewhere.
            if cpu in sets[name] and not (name == "vcpu_pin_set" and sets["cpu_dedicated_set"])
        }
        mates = [cpu for cpu in core.cpus if cpu in set(state.online) - named]
        if polled & set(core.cpus) and mates and set(mates) - set(state.isolated):
            uses.add("the host's own processes")
        if len(uses) > 1:
            yield Verdict(
                code="cpu.siblings",
                severity=Severity.DEGRADED,
                subject=Subject(f"CPU {cpuset.render_list(core.cpus)}"),
                message=f"one core is shared by {' and '.join(sorted(uses))}",
                evidence=f"siblings {cpuset.render_list(core.cpus)}",
                remedy="keep siblings together: isthmus nfv plan, then apply",
            )


def check_lcores(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """DPDK's own threads, which do not poll, stay off CPUs that poll or belong to instances."""
    del plan
    lcores = set(cpuset.find_mask(state.other_config.get("dpdk-lcore-mask", "")))
    for name, cpus in list_uses(state).items():
        both = sorted(lcores & set(cpus))
        if both and name != "cpu_shared_set":
            yield Verdict(
                code="cpu.overlap",
                severity=Severity.DEGRADED,
                subject=Subject(f"CPU {cpuset.render_list(both)}"),
                message=f"CPU {cpuset.render_list(both)} is in dpdk-lcore-mask and in {name}: "
                "the switch's other threads run where it should not be disturbed",
                evidence=f"other_config:dpdk-lcore-mask: {cpuset.render_list(lcores)}; {name}: "
                f"{cpuset.render_list(cpus)}",
                remedy="set dpdk-lcore-mask to CPUs of the host's own, and restart Open vSwitch",
            )


PRACTICE = (
    Rule(check_sets, (oslo_conf.NOVA,), beside=(ovs.SWITCH,)),
    Rule(
        check_sets_online,
        (oslo_conf.NOVA,),
        without_plan("each CPU of the plan is held against those that run"),
        beside=(ovs.SWITCH,),
    ),
    Rule(check_nova_forms, (oslo_conf.NOVA,)),
    Rule(check_masks, (ovs.SWITCH,), with_switch),
    Rule(check_lcores, (ovs.SWITCH,), with_switch, helped_by=(oslo_conf.NOVA,)),
)
PLANNED = (Rule(check_online, helped_by=(oslo_conf.NOVA,)), Rule(check_unplanned))
