"""Printed repairs as commands, and the verdict that they lead to."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from tests.tables import test_diagnose as plain
from tests.tables.routed_faults import CASES, SERVICES
from tests.tables.routed_world import ask_routed, routed
from tests.tables.world import ask, healthy

from isthmus import errors
from isthmus.diagnose.fix.command import Command, parse_commands
from isthmus.diagnose.fix.predict import predict
from isthmus.diagnose.fix.repair import Proposal, Reach, apply_repairs, propose
from isthmus.diagnose.judge import Diagnosis, Word

#: Codes whose repair is carried out on rows, so that the verdict is that of all checks.
BY_ROWS = {
    "port.admin_down", "policy.no_dhcp", "host.tap_mtu", "host.conntrack_full",
    "network.admin_down", "lsp.disabled",
    "lsp.addresses", "lsp.port_security",
    "acl.not_in_port_group", "shadow.type", "shadow.key", "shadow.chassis",
    "shadow.addresses", "shadow.disabled", "remote_chassis.not_remote", "remote_chassis.encap_ip",
    "host.interface_twice", "host.tap_down", "host.not_interconn", "chassis.private_orphan",
    "mtu.sites_differ", "mtu.too_large", "host.controller_dead", "policy.ingress.none",
    "policy.ingress.port", "policy.egress.none",
}  # fmt: skip


def broken(code: str) -> Diagnosis:
    tables = healthy()
    ({**plain.BLOCKED, **plain.DEGRADED})[code](tables)
    return ask(tables)


@pytest.mark.parametrize("code", sorted(BY_ROWS))
def test_a_repair_that_is_understood_is_predicted_by_all_checks(code: str) -> None:
    found = broken(code)
    assert found.blockers[0].verdict.code == code
    then = predict(found, found.blockers[0])
    assert then.by_rows, found.blockers[0].verdict.remedy
    assert code not in [one.verdict.code for one in then.left]
    left = [one.verdict.code for one in then.left]
    if code == "policy.egress.none":  # one rule is made, and DHCP wants another
        assert (then.word, left) == (Word.DEGRADED, ["policy.no_dhcp"])
    else:
        assert (then.word, left) == (Word.REACHABLE, [])


def test_a_prediction_changes_nothing_that_was_seen() -> None:
    found = broken("lsp.disabled")
    before = repr(found.world)
    predict(found, found.blockers[0])
    assert repr(found.world) == before


@pytest.mark.parametrize("code", sorted({*plain.BLOCKED, *plain.DEGRADED} - BY_ROWS))
def test_of_another_repair_it_is_taken_that_the_finding_is_gone(code: str) -> None:
    found = broken(code)
    then = predict(found, found.blockers[0])
    assert len(then.left) == len(found.blockers) - 1 or then.by_rows


def test_what_is_left_is_told() -> None:
    tables = healthy()
    plain.BLOCKED["lsp.disabled"](tables)
    plain.BLOCKED["host.tap_down"](tables)
    found = ask(tables)
    then = predict(found, found.blockers[0])
    assert (then.word, [one.verdict.code for one in then.left]) == (Word.BLOCKED, ["host.tap_down"])
    lost = dataclasses.replace(found, blockers=found.blockers[:1])
    assert predict(lost, lost.blockers[0]).word is Word.BLOCKED  # the checks see the other one


@pytest.mark.parametrize("code", sorted(CASES))
def test_every_repair_of_a_router_is_predicted(code: str) -> None:
    change, question = CASES[code]
    tables = routed()
    change(tables)
    found = ask_routed(tables, *question, SERVICES.get(code, "tcp/443"))
    cause = found.blockers[0].verdict
    then = predict(found, found.blockers[0])
    assert (cause.code, cause.subject) not in {
        (one.verdict.code, one.verdict.subject) for one in then.left
    }


@pytest.mark.parametrize(
    ("repair", "commands"),
    [
        ("openstack --os-cloud central port set --enable p",
         [("", "openstack", "--os-cloud", "central", "port", "set", "--enable", "p")]),
        ("ovn-nbctl lsp-set-addresses p 'fa:16:3e:00:00:05 10.0.0.5'   # at site s1",
         [("s1", "ovn-nbctl", "lsp-set-addresses", "p", "fa:16:3e:00:00:05 10.0.0.5")]),
        ("on h1: ip link set tap1 up", [("h1", "ip", "link", "set", "tap1", "up")]),
        ("isthmus lab kill h1.vswitchd; isthmus lab start h1.vswitchd",
         [("", "isthmus", "lab", "kill", "h1.vswitchd"),
          ("", "isthmus", "lab", "start", "h1.vswitchd")]),
        ("isthmus lab shell h1 -- sh -c 'ovs-appctl -t $OVS_RUNDIR/vswitchd.ctl a | b'",
         [("", "isthmus", "lab", "shell", "h1", "--", "sh", "-c",
           "ovs-appctl -t $OVS_RUNDIR/vswitchd.ctl a | b")]),
        ("isthmus lab kill h1.vswitchd --signal CONT",
         [("", "isthmus", "lab", "kill", "h1.vswitchd", "--signal", "CONT")]),
        ("openstack a && openstack b", [("", "openstack", "a"), ("", "openstack", "b")]),
        ("openstack a; then: isthmus b", [("", "openstack", "a"), ("", "isthmus", "b")]),
        ("openstack a; or: openstack b", [("", "openstack", "a")]),
        ("openstack subnet set --gateway 10.0.0.1 s   # then renew the lease",
         [("", "openstack", "subnet", "set", "--gateway", "10.0.0.1", "s")]),
    ],
)  # fmt: skip
def test_a_repair_is_read_as_commands(repair: str, commands: list[tuple[str, ...]]) -> None:
    assert [(one.place, *one.words) for one in parse_commands(repair)] == commands


@pytest.mark.parametrize(
    "repair",
    [
        "see the WAN link of s2 and its Neutron: isthmus site show s2",
        "openstack --os-cloud central port set --security-group GROUP p",
        "openstack subnet set --gateway ADDRESS s",
        "on h1: kill -CONT $(pidof ovs-vswitchd) || systemctl restart ovs-vswitchd",
        "openstack port set p; see that it runs",
        "openstack port set 'p",
        "rm -rf /",
        "openstack port set p | sh",
        "openstack port set `id`",
        "ovn-nbctl lsp-del p",
        "bash -c x   # at site s1",
        "on h1: ovs-vsctl get Open_vSwitch . external_ids:ovn-remote",
        "ovn-sbctl find Port_Binding tunnel_key=9   # who has it at site s1",
        "",
    ],
)
def test_what_is_for_a_person_or_no_command_of_ours_is_not_run(repair: str) -> None:
    with pytest.raises(errors.Unsupported):
        parse_commands(repair)


class Person:
    """Agrees, or not; runs nothing, and heals the world as it is told."""

    def __init__(self, *, agrees: bool = True, heals: Callable[[], None] = lambda: None) -> None:
        self.agrees, self.heals = agrees, heals
        self.shown: list[Proposal] = []
        self.ran: list[Command] = []
        self.told: list[str] = []

    def agree(self, proposal: Proposal) -> bool:
        self.shown.append(proposal)
        return self.agrees

    def run(self, command: Command) -> None:
        self.ran.append(command)
        self.heals()

    def tell(self, line: str) -> None:
        self.told.append(line)


def answers(codes: Sequence[str]) -> Callable[[], Diagnosis]:
    """Answer with one fault after another, and then that all is well."""
    left = list(codes)

    def ask_next() -> Diagnosis:
        return broken(left.pop(0)) if left else ask(healthy())

    return ask_next


REACH = Reach("", {"s1": ("tcp:nb1", "tcp:sb1"), "s2": ("tcp:nb2", "tcp:sb2")})


def test_a_cause_is_shown_and_repaired_and_it_is_asked_anew() -> None:
    person = Person()
    found = broken("lsp.disabled")
    then = apply_repairs(found, answers([]), person, reach=REACH, timeout_s=0)
    assert then.word is Word.REACHABLE
    assert [one.words for one in person.ran] == [
        ("ovn-nbctl", "--db=tcp:nb1", "lsp-set-enabled", "port-a", "enabled")
    ]
    assert person.shown[0].prediction.word is Word.REACHABLE
    assert person.told == ["lsp.disabled is gone: reachable."]


def test_one_cause_after_another() -> None:
    person = Person()
    ask_next = answers(["shadow.key"])
    then = apply_repairs(broken("lsp.disabled"), ask_next, person, reach=REACH, timeout_s=0)
    assert then.word is Word.REACHABLE
    assert [one.blocker.verdict.code for one in person.shown] == ["lsp.disabled", "shadow.key"]


def test_who_says_no_has_nothing_done() -> None:
    person = Person(agrees=False)
    found = broken("lsp.disabled")
    assert apply_repairs(found, answers([]), person, reach=REACH, timeout_s=0) is found
    assert person.ran == []


def test_a_repair_that_does_not_help_is_done_once() -> None:
    person = Person()
    ask_same = answers(["lsp.disabled"] * 20)
    then = apply_repairs(broken("lsp.disabled"), ask_same, person, reach=REACH, timeout_s=0)
    assert (then.word, len(person.ran)) == (Word.BLOCKED, 1)
    assert person.told[0] == "lsp.disabled is still there: blocked."
    assert "No command repairs" in person.told[-1]


@pytest.mark.parametrize("code", ["host.tap_down", "policy.no_groups", "site.unreachable"])
def test_what_no_command_from_here_repairs_is_left(code: str) -> None:
    person = Person()
    found = broken(code)
    assert propose(found, REACH) is None
    assert apply_repairs(found, answers([]), person, reach=REACH, timeout_s=0) is found
    assert person.ran == []


def test_in_a_lab_a_host_is_in_reach() -> None:
    proposal = propose(broken("host.tap_down"), Reach("lab"))
    assert proposal is not None
    assert [one.words for one in proposal.commands] == [
        ("isthmus", "lab", "shell", "h1", "--", "ip", "link", "set", "tap1", "up")
    ]


def test_a_site_whose_databases_nobody_has_named_is_out_of_reach() -> None:
    assert propose(broken("lsp.disabled"), Reach()) is None
