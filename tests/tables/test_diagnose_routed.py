"""What is found of ways through routers: each case has one thing wrong, and the code of it."""

from typing import Any

import pytest
from tests.tables.routed_faults import (
    BLOCKED,
    CASES,
    DEGRADED,
    FROM_OUTSIDE,
    HEALTHY,
    OUT,
    OUT_OVER_TRANSIT,
    ROUTED,
    SERVICES,
    TO_FIP,
    Question,
    extra_route,
    forwarded,
    other_exit,
    second_router,
    without_floating_ip,
)
from tests.tables.routed_world import CENTRAL, PUBLIC, SNAT, R, ask_routed, routed
from tests.tables.test_diagnose import N1, N2, NB1, Break
from tests.tables.world import GROUP, NET, rule

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.document import list_hops, shorten_hops, to_document
from isthmus.diagnose.judge import State, Word
from isthmus.diagnose.question import Direction
from isthmus.diagnose.sweep.wanted import select_findings
from isthmus.diagnose.world import Source, Unseen


@pytest.mark.parametrize("question", HEALTHY)
@pytest.mark.parametrize("service", ["tcp/443", "icmp", "udp/53"])
def test_what_is_well_is_reachable(question: Question, service: str) -> None:
    found = ask_routed(routed(), *question, service)
    assert found.blockers == ()
    assert found.word is Word.REACHABLE
    states = {one.state for one in found.path if one.hop is not Hop.OUTSIDE}
    assert states == {State.PASSES, State.NOT_APPLICABLE}


@pytest.mark.parametrize(
    ("twin", "question"),
    [
        (other_exit, FROM_OUTSIDE),
        (forwarded, FROM_OUTSIDE),
        (second_router, ROUTED),
        (without_floating_ip, OUT_OVER_TRANSIT),
    ],
)
def test_what_is_built_otherwise_and_well_is_reachable(twin: Break, question: Question) -> None:
    tables = routed()
    twin(tables)
    if twin is other_exit:  # the second exit of the world has no rows: s1 is asked alone
        tables[CENTRAL]["router_exit"][0]["gateways"].pop()
    found = ask_routed(tables, *question)
    assert [one.verdict.code for one in found.blockers] == []
    assert found.word is Word.REACHABLE


@pytest.mark.parametrize("code", BLOCKED)
def test_what_blocks_is_named_first(code: str) -> None:
    tables, (wrong, question) = routed(), BLOCKED[code]
    wrong(tables)
    found = ask_routed(tables, *question, SERVICES.get(code, "tcp/443"))
    codes = [one.verdict.code for one in found.blockers]
    assert found.word is Word.BLOCKED, codes
    assert codes[0] == code, codes
    assert State.STOPS in {step.state for step in found.path}
    _is_complete(found.blockers[0].verdict)


@pytest.mark.parametrize("code", DEGRADED)
def test_what_hinders_is_named_first(code: str) -> None:
    tables, (wrong, question) = routed(), DEGRADED[code]
    wrong(tables)
    found = ask_routed(tables, *question)
    codes = [one.verdict.code for one in found.blockers]
    assert found.word is Word.DEGRADED, codes
    assert codes[0] == code, codes
    _is_complete(found.blockers[0].verdict)


def _is_complete(verdict: Any) -> None:
    assert verdict.subject.name
    assert verdict.message
    assert "None" not in verdict.message
    assert verdict.evidence
    assert verdict.remedy


@pytest.mark.parametrize("code", ["default_route.missing", "default_route.extra"])
def test_what_comes_to_an_exit_from_another_site_needs_its_default_route(code: str) -> None:
    tables = routed()
    CASES[code][0](tables)
    blocker = ask_routed(tables, *OUT_OVER_TRANSIT).blockers[0]
    assert (blocker.verdict.code, blocker.verdict.subject.place) == (code, "s1")


@pytest.mark.parametrize("code", CASES)
def test_the_answer_can_be_written(code: str) -> None:
    tables, (wrong, question) = routed(), CASES[code]
    wrong(tables)
    document = to_document(ask_routed(tables, *question, SERVICES.get(code, "tcp/443")), lab="op")
    assert document["blockers"][0]["code"] == code
    assert "systemctl" not in document["blockers"][0]["remedy"].partition("#")[0]
    assert {row["hop"] for row in list_hops(document)} == {one["hop"] for one in document["path"]}
    short = shorten_hops(document)
    assert len(short) == len(list_hops(document))
    for one in short:
        assert ":" not in one["there"] + one["back"]
        for end in ("source", "target"):
            name, _, more = document[end]["label"].partition(" (")
            assert not more or document[end]["port_id"] not in one["hop"], name


@pytest.mark.parametrize("question", [ROUTED, TO_FIP, OUT_OVER_TRANSIT, FROM_OUTSIDE])
@pytest.mark.parametrize("source", [Source.NB, Source.SB])
@pytest.mark.parametrize("place", ["s1", "s2"])
def test_without_the_rows_of_a_site_it_is_not_told(
    question: Question, source: Source, place: str
) -> None:
    found = ask_routed(routed(), *question, unseen=(Unseen(source, place, "no way in"),))
    assert found.word is Word.UNDETERMINED
    assert found.blockers == ()


@pytest.mark.parametrize("table", ["router", "router_port", "router_exit", "floatingip"])
def test_a_table_of_central_that_was_not_read_is_not_taken_as_fine(table: str) -> None:
    tables = routed()
    del tables[CENTRAL][table]
    found = ask_routed(tables, *OUT)
    assert found.word is Word.UNDETERMINED, [one.verdict.code for one in found.blockers]


def test_who_is_not_shown_exits_is_told_so() -> None:
    tables = routed()
    tables[CENTRAL]["router_exit"].clear()
    found = ask_routed(tables, *OUT)
    assert found.word is Word.UNDETERMINED
    assert any("isthmus_reader" in one for one in found.report.unseen)
    # Inside, Neutron's rows suffice.
    assert ask_routed(tables, *ROUTED).word is Word.REACHABLE


def test_what_a_server_does_with_packets_is_not_told() -> None:
    tables = routed()
    extra_route("10.0.0.66")(tables)
    tables[CENTRAL]["next_hop_port"] = [
        {"id": "fw", "name": "fw", "network_id": NET, "device_owner": "compute:x",
         "fixed_ips": [{"ip_address": "10.0.0.66"}]}
    ]  # fmt: skip
    found = ask_routed(tables, *ROUTED)
    assert found.word is Word.UNDETERMINED
    assert [one.verdict.code for one in found.blockers] == ["route.through_server"]


@pytest.mark.parametrize(
    ("question", "peer", "code"),
    [
        (FROM_OUTSIDE, "0.0.0.0/0", "policy.ingress.remote_group"),
        (TO_FIP, f"{SNAT}/32", "policy.ingress.remote_group"),
    ],
)
def test_rules_see_the_translated_address(question: Question, peer: str, code: str) -> None:
    """A rule for members of a group does not take them in by a floating IP."""
    tables = routed()
    for place in (CENTRAL, N1, N2):
        group = tables[place]["security_group"][0]
        group["security_group_rules"] = [rule("egress"), rule("ingress", remote_group_id=GROUP)]
    assert ask_routed(tables, *ROUTED).word is not Word.BLOCKED
    found = ask_routed(tables, *question)
    assert found.blockers[0].verdict.code == code
    assert f"--remote-ip {peer} " in found.blockers[0].verdict.remedy


def test_a_forwarded_port_is_asked_for_inside() -> None:
    tables = routed()
    forwarded(tables)
    for place in (CENTRAL, N1, N2):
        group = tables[place]["security_group"][0]
        ports = {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443}
        group["security_group_rules"] = [rule("egress"), rule("ingress", **ports)]
    found = ask_routed(tables, *FROM_OUTSIDE)
    assert found.blockers[0].verdict.code == "policy.ingress.port"
    assert "--dst-port 8443" in found.blockers[0].verdict.remedy


@pytest.mark.parametrize("first", ["router.admin_down", "lr.disabled", "lrp.missing"])
def test_two_faults_are_both_named(first: str) -> None:
    tables = routed()
    for code in (first, "nat.missing"):
        BLOCKED[code][0](tables)
    codes = {one.verdict.code for one in ask_routed(tables, *TO_FIP).blockers}
    assert {first, "nat.missing"} - {"lrp.missing"} <= codes


def no_rows(tables: Any) -> None:
    """Take away what OVN has of the floating IP."""
    tables[NB1]["Logical_Router"][0]["nat"].remove("dnat")


@pytest.mark.parametrize(
    ("code", "change", "question"),
    [
        # What is not written while a fault lasts is not told of as a fault behind it.
        ("floating.no_site", no_rows, FROM_OUTSIDE),
        ("floating.no_interface", no_rows, FROM_OUTSIDE),
        ("exit.no_transit", BLOCKED["exit_route.missing"][0], OUT_OVER_TRANSIT),
        ("router.not_at_site", BLOCKED["lr.missing"][0], OUT),
        ("router.not_joined", lambda _: None, ROUTED),
        ("external.no_next_hop", BLOCKED["default_route.missing"][0], OUT),
        ("exit.seat_lost", BLOCKED["gateway.missing"][0], FROM_OUTSIDE),
    ],
)
def test_what_follows_from_a_fault_is_not_found_behind_it(
    code: str, change: Break, question: Question
) -> None:
    tables = routed()
    BLOCKED[code][0](tables)
    change(tables)
    found = ask_routed(tables, *question)
    assert found.blockers[0].verdict.code == code
    assert [one.verdict.code for one in found.blockers if one.behind] == []


@pytest.mark.parametrize(
    ("ends", "further"),
    [
        ("subnet.no_gateway", "lrp.mac"),
        ("subnet.host_route_dead", "router.admin_down"),
        ("subnet.host_route_dead", "lrp.stale_mac"),
        ("route.next_hop_dead", "lrp.disabled"),
    ],
)
def test_a_way_is_followed_on_behind_what_ends_it(ends: str, further: str) -> None:
    tables = routed()
    BLOCKED[further][0](tables)
    BLOCKED[ends][0](tables)
    found = ask_routed(tables, *ROUTED)
    told = {one.verdict.code: one.behind for one in found.blockers}
    assert next(iter(told)) == ends
    assert further in told
    document = to_document(found)
    assert [one["behind"] for one in document["blockers"]] == [*told.values()]
    assert next(select_findings(found.blockers), None) is not None
    assert not [x for x in select_findings(found.blockers) if told[x.code]]


def test_the_path_names_sites_and_translations() -> None:
    document = to_document(ask_routed(routed(), *OUT_OVER_TRANSIT))
    at = {one["hop"]: one["at"] for one in document["path"] if one["way"] == "there"}
    assert at[Hop.GATEWAY] == f"router r1 ({R}) at s2"
    assert at[Hop.ROUTE] == "r1: default, transit to s1 by 100.64.0.1"
    assert at[Hop.TRANSIT] == "s2 -> s1"
    assert at[Hop.EXIT] == f"s1 on h1, 10.0.2.6 becomes {PUBLIC}"
    back = {one["hop"]: one["at"] for one in document["path"] if one["way"] == "back"}
    assert back[Hop.ENTRY] == f"router r1 ({R}) at s1 on h1, {PUBLIC} becomes 10.0.2.6"
    assert Hop.TRANSIT not in back
    assert back[Hop.SHADOW] == "s1"


def test_what_comes_after_a_stop_is_not_reached() -> None:
    tables = routed()
    BLOCKED["gateway.not_claimed"][0](tables)
    found = ask_routed(tables, *OUT)
    steps = {(one.direction, one.hop): one for one in found.path}
    assert steps[Direction.THERE, Hop.EXIT].state is State.STOPS
    assert steps[Direction.THERE, Hop.GATEWAY].state is State.PASSES
