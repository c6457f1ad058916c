"""What could not be read is *not seen*: never fine, never not there, and never found wrong."""

import dataclasses
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.tables.test_nfv_called_clean import PLAN, STATE

from isthmus.facts import cpuset
from isthmus.facts.dump import HostFacts, parse_facts
from isthmus.facts.fact import Absent, Fact, Requires, Why, file
from isthmus.facts.host import oslo_conf, ovs
from isthmus.facts.host.libvirt import Domain
from isthmus.facts.host.ovs import QUEUES_GIVEN, Queue
from isthmus.facts.host.procfs import Thread
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Severity
from isthmus.nfv.check import host as checks
from isthmus.nfv.check.rule import Rule
from isthmus.nfv.check.state import HostState, parse_state
from isthmus.testing.nfv.nfv_state import complete

#: Fields of the state that a fact fills, and what is in them where it is absent.
FIELDS: dict[str, dict[str, Any]] = {
    "switch": {
        "ovs_runs": False,
        "ovs_says": "",
        "dpdk_initialized": False,
        "other_config": {},
        "external_ids": {},
    },
    "interfaces": {"interfaces": ()},
    "ports": {"ports": (), "datapaths": {}},
    "pmds": {"pmds": {}, "queues": (), "shut_pmds": ()},
    "bonds": {"bonds": {}},
    "nova": {"nova": {}},
    "neutron": {"neutron": {}},
    "threads": {"threads": ()},
    "services": {"services": ()},
    "functions": {"functions": (), "eswitch": {}},
    "digests": {"digests": {}},
    "mounts": {"mounts": ()},
    "sockets": {"sockets": ""},
    "domains": {"domains": ()},
}
FACT_OF = {field: fact for fact, fields in FIELDS.items() for field in fields}
#: Read, and yet not needed: for words alone, or since another fact that is named says the same.
SPARE = {("check_balance", "interfaces"), ("check_pages_in_use", "domains")}


def reads(rule: Rule, state: HostState, plan: HostPlan | None) -> set[str]:
    """Return the facts that a check reads and needs."""
    watched: Any = Watched(state)
    list(rule.check(watched, plan))
    spare = {fact for fact in watched.read if (rule.check.__name__, fact) in SPARE}
    # Where the threads that poll are not told, the mask tells on which CPUs they are.
    if ovs.PMDS not in named(rule) and ovs.SWITCH in named(rule):
        spare.add("pmds")
    return set(watched.read) - spare


def named(rule: Rule) -> tuple[Fact[Any], ...]:
    return (*rule.needs, *rule.beside, *rule.helped_by)


def with_guest() -> HostState:
    """The healthy host with an instance on it, of pinned CPUs and a vhost-user port."""
    one, two = PLAN.dedicated_cpus[:2]
    guest = (
        Thread(70, 71, False, (one,), "qemu-system-x86", "CPU 0/KVM"),
        Thread(70, 72, False, (two,), "qemu-system-x86", "CPU 1/KVM"),
        Thread(70, 70, False, PLAN.host_cpus, "qemu-system-x86", "qemu-system-x86"),
    )
    domain = Domain(
        "instance-1",
        {0: (one,), 1: (two,)},
        PLAN.host_cpus,
        ("vhu1",),
        hugepages=True,
        tids={0: 71, 1: 72},
        shared_memory=True,
    )
    port = dataclasses.replace(
        STATE.interfaces[0], name="vhu1", type="dpdkvhostuserclient", options={}, status={}
    )
    return dataclasses.replace(
        STATE,
        threads=(*STATE.threads, *guest),
        domains=(domain,),
        interfaces=(*STATE.interfaces, port),
        # As the kernel's line and the plan have them: isolated, and interrupts elsewhere.
        other_config={**STATE.other_config, "pmd-cpu-mask": cpuset.render_mask(PLAN.pmd_cpus)},
    )


def hide(state: HostState, fact: str) -> HostState:
    """Return what is seen where one fact may not be read."""
    absent = {**state.absent, fact: Absent(Why.NOT_PERMITTED, f"{fact}: not permitted")}
    return dataclasses.replace(state, seen=state.seen - {fact}, absent=absent, **FIELDS[fact])


class Watched:
    """A state that keeps which facts were read."""

    def __init__(self, state: HostState) -> None:
        self._state = state
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in FACT_OF:
            self.read.add(FACT_OF[name])
        return getattr(self._state, name)


STATES: Mapping[str, HostState] = {"empty": STATE, "with an instance": with_guest()}
RULES = [
    *((rule, PLAN) for rule in checks.PLANNED),
    *((rule, plan) for rule in checks.PRACTICE for plan in (PLAN, None)),
]


def answers(state: HostState, plan: HostPlan | None) -> dict[str, Answer]:
    return {one.check: one.answer for one in checks.check_host(state, plan).rulings}


@pytest.mark.parametrize("name", STATES)
def test_each_rule_names_the_facts_that_it_reads(name: str) -> None:
    for rule, plan in RULES:
        asked: Any = Watched(STATES[name])
        rule.applies(asked, plan)
        rule.given(asked, plan)
        # Conditions say themselves what they could not see; the next test holds them to it.
        told = {fact.name for fact in named(rule)} | asked.read
        unnamed = reads(rule, STATES[name], plan) - told
        assert not unnamed, f"{rule.name} reads {unnamed}"


@pytest.mark.parametrize("plan", [PLAN, None], ids=["plan", "none"])
@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("fact", FIELDS)
def test_a_healthy_host_of_which_one_fact_is_hidden(
    fact: str, name: str, plan: HostPlan | None
) -> None:
    state = STATES[name]
    before = answers(state, plan)
    assert Answer.FOUND not in before.values()
    report = checks.check_host(hide(state, fact), plan)
    assert {one.code for one in report.findings} <= {"check.unseen", "host.unseen"}
    for one in report.rulings:
        # What was looked at before is so now, or was not seen: it has not gone away.
        assert one.answer in {before[one.check], Answer.NOT_SEEN}, one
    answered = {one.check: one.answer for one in report.rulings}
    for rule, its in RULES:
        if its is plan and fact in reads(rule, state, plan):
            assert answered[rule.name] is not Answer.FINE, rule.name


CASES = Path(__file__).with_name("nfv") / "cases"
WITH_GUEST = complete((CASES / "c03-vhost-remote.facts").read_text())


def with_line(text: str, start: str, line: str) -> HostState:
    """Read facts in which something else stands in the place of some lines."""
    lines = [line if one.startswith(start) else one for one in text.splitlines()]
    assert lines != text.splitlines()
    return parse_state(parse_facts("\n".join(lines)))


def test_instances_whose_records_may_not_be_read_have_ports_for_all_we_know() -> None:
    start = (
        "F64 /run/libvirt/qemu/" if "F64 /run/libvirt/" in WITH_GUEST else "F /run/libvirt/qemu/"
    )
    state = with_line(WITH_GUEST, start, "U /run/libvirt/qemu/i1.xml")
    assert answers(state, None)["vhost ports"] is Answer.NOT_SEEN
    bare = dataclasses.replace(hide(with_guest(), "domains"))
    assert answers(bare, None)["vhost ports"] is Answer.NOT_SEEN
    assert answers(hide(STATE, "domains"), None)["vhost ports"] is Answer.NOT_APPLICABLE


def test_a_table_that_is_none_is_not_an_empty_one() -> None:
    state = with_line(WITH_GUEST, "C64 ovs-interfaces ", "C64 ovs-interfaces 0 eA==")
    assert answers(state, None)["errors"] is Answer.NOT_SEEN


def test_half_of_the_options_are_none() -> None:
    seen = HostFacts(
        files={"/etc/nova/nova-compute.conf": "[compute]\ncpu_shared_set = 0\n"},
        unreadable=("/etc/nova/nova.conf",),
    )
    absent = oslo_conf.NOVA.read(seen)
    assert isinstance(absent, Absent)
    assert absent.why is Why.NOT_PERMITTED


@pytest.mark.parametrize("bug", [KeyError, TypeError, IndexError, AttributeError])
def test_a_bug_of_ours_is_no_fact_that_cannot_be_read(bug: type[Exception]) -> None:
    def parse(_: HostFacts) -> str:
        raise bug("a bug")

    with pytest.raises(bug):
        Fact("x", parse, (file("/x"),), Requires()).read(HostFacts())


#: options:n_rxq, what the status has, what dpif/show has, the queues that are polled -> how bad
QUEUES: dict[str, tuple[str, dict[str, str], dict[str, int], tuple[int, ...], Severity | None]] = {
    "the device has fewer": ("4", {"max_rx_queues": "2"}, {}, (0, 1), None),
    "the switch says it gave fewer": ("4", {}, {"p": 2}, (0, 1), None),
    "a newer one says so in the status": ("4", {"n_rxq": "2"}, {}, (0, 1), None),
    "nobody can tell": ("4", {}, {}, (0, 1), Severity.UNKNOWN),
    "the device could have them": ("4", {"max_rx_queues": "16"}, {}, (0, 1), Severity.UNKNOWN),
    "it has them": ("4", {}, {"p": 4}, (0, 1), Severity.BROKEN),
    "a newer one has them": ("4", {"n_rxq": "4"}, {}, (0, 1), Severity.BROKEN),
    "one between": ("4", {}, {}, (0, 2, 3), Severity.BROKEN),
    "none at all": ("1", {}, {}, (), Severity.BROKEN),
}


@pytest.mark.parametrize("case", QUEUES)
def test_queues_that_a_device_never_gave_are_polled_by_nobody(case: str) -> None:
    """Open vSwitch before 3.3 has them in no status."""
    asked, status, given, polled, severity = QUEUES[case]
    port = dataclasses.replace(
        STATE.interfaces[0], name="p", type="dpdk", options={"n_rxq": asked}, status=status
    )
    cpu = PLAN.pmd_cpus[0]
    state = dataclasses.replace(
        STATE,
        interfaces=(port,),
        queues=tuple(Queue("p", number, cpu, 0, enabled=True, usage_pct=1) for number in polled),
        facts={**STATE.facts, QUEUES_GIVEN.name: given},
    )
    found = [one for one in checks.check_host(state).findings if one.code == "rxq.unpolled"]
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_what_the_switch_gave_is_read_and_nothing_else_of_it() -> None:
    shown = (
        "netdev@ovs-netdev: hit:0 missed:0\n  br-left:\n    br-left 65534/1: (tap)\n"
        "    dpdk0 1/3: (dpdk: configured_rx_queues=2, configured_rxq_descriptors=2048, mtu=1500, "
        "requested_rx_queues=4)\n    vx 2/4: (vxlan: key=flow, psk=secret, remote_ip=192.0.2.1)\n"
    )
    source = QUEUES_GIVEN.sources[0].what
    sed = source.partition(" | ")[2]
    done = subprocess.run(sed, shell=True, input=shown, capture_output=True, text=True, check=True)
    assert ovs.parse_given(done.stdout) == {"dpdk0": 2}
    assert done.stdout == "dpdk0 2\n"
