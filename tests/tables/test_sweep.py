"""A sweep names what is broken without being asked, and nothing where nothing is."""

import copy
import io
from collections import Counter
from typing import Any

import pytest
from tests.tables.machine_faults import ALL
from tests.tables.recorded import make_dump, pack
from tests.tables.test_diagnose import (
    BLOCKED,
    CENTRAL,
    DEGRADED,
    H1,
    N1,
    N2,
    NB1,
    SB1,
    Break,
    both,
    drop,
    put,
    rules,
)
from tests.tables.world import NET, A, B, Tables, healthy, rule

from isthmus import errors
from isthmus.diagnose.dump.form import Dump, Missing, parse_dump
from isthmus.diagnose.question import PING
from isthmus.diagnose.sweep.document import to_change, to_document
from isthmus.diagnose.sweep.health import Health, Watch, Word, examine, examine_lasting
from isthmus.diagnose.sweep.plan import plan_questions
from isthmus.diagnose.world import Source
from isthmus.model.verdict import Severity

#: No faults while nobody asks: what rules and addresses keep out.
ANSWERS = {code for code in BLOCKED if code.startswith("policy.")} | {
    "port.unbound", "port.no_address", "policy.no_dhcp",
}  # fmt: skip
#: What persons may want, told as advice.
ADVICE = {"port.admin_down", "port.not_active", "network.admin_down", "job.waiting"}
#: A dump has them as rows of ports and switches, and these worlds do not.
MADE_OF_OTHERS = {"segment.twice", "shadow.refused"}
NOT_IN_A_DUMP = {"port.address_twice", "port.mac_twice"}


def read(*changes: Break) -> Dump:
    tables = healthy()
    for one in changes:
        one(tables)
    return parse_dump("d", io.BytesIO(pack(make_dump(tables))))


def codes(found: Health) -> list[str]:
    return [one.verdict.code for one in found.findings]


def test_nothing_is_told_where_all_is_well() -> None:
    found = examine(read())
    assert (found.word, codes(found), found.not_seen, found.not_asked) == (
        Word.HEALTHY, [], (), ()
    )  # fmt: skip
    assert found.hypervisors == found.sites == 2


@pytest.mark.parametrize("code", sorted({*BLOCKED, *DEGRADED} - ANSWERS - ADVICE - NOT_IN_A_DUMP))
def test_what_is_wrong_is_named(code: str) -> None:
    found = examine(read({**BLOCKED, **DEGRADED}[code]))
    assert code in codes(found)
    assert found.word in (Word.BROKEN, Word.DEGRADED, Word.UNDETERMINED)
    assert len({one.key for one in found.findings}) == len(found.findings)


@pytest.mark.parametrize(
    "code",
    sorted(code for code, one in ALL.items()
           if not one.question and one.family == 4 and code not in MADE_OF_OTHERS),
)  # fmt: skip
def test_what_else_is_wrong_is_named(code: str) -> None:
    found = examine(read(ALL[code].change))
    assert code in codes(found)


@pytest.mark.parametrize(
    "code",
    ["host.upcalls_lost", "host.version_differs", "host.certificate_expired", "host.rbac_refused",
     "clock.host", "agent.dead", "ovsdb.no_leader"],
)  # fmt: skip
def test_what_is_wrong_where_no_port_is_is_named(code: str) -> None:
    dump = read(ALL[code].change)
    dump.tables[CENTRAL]["port"] = []
    found = examine(dump)
    assert codes(found) == [code]


@pytest.mark.parametrize("code", sorted(ADVICE - {"port.not_active"}))
def test_what_a_person_has_set_down_is_advice(code: str) -> None:
    found = examine(read({**BLOCKED, **DEGRADED}[code]))
    assert code in codes(found)
    assert (found.word, {one.verdict.severity for one in found.findings}) == (
        Word.HEALTHY, {Severity.ADVICE},
    )  # fmt: skip


@pytest.mark.parametrize("code", sorted(ANSWERS))
def test_what_rules_keep_out_is_no_fault(code: str) -> None:
    assert code not in codes(examine(read({**BLOCKED, **DEGRADED}[code])))


OFF = both(put(N1, "port", "id", A, status="DOWN"), drop(H1, "Interface", "iface_id", A))


def test_a_server_that_is_off_is_advice_and_what_it_lacks_is_not_told() -> None:
    found = examine(read(OFF, drop(SB1, "Port_Binding", "logical_port", A)))
    assert (codes(found), found.word) == (["port.not_active"], Word.HEALTHY)


def test_a_port_that_has_an_interface_and_is_not_active_is_broken_unless_ovn_has_it_up() -> None:
    down = put(N1, "port", "id", A, status="DOWN")
    found = examine(read(down))
    assert (codes(found), found.word) == (["port.not_active"], Word.DEGRADED)
    found = examine(read(down, put(SB1, "Port_Binding", "logical_port", A, up=False)))
    assert (codes(found)[-1], found.word) == ("port.not_active", Word.BROKEN)
    severities = {one.verdict.severity for one in found.findings}
    assert severities == {Severity.BROKEN}


def test_a_port_with_nobody_to_talk_to_is_looked_at_all_the_same() -> None:
    gone = both(*(drop(x, "port", "id", B) for x in (CENTRAL, N2)))
    assert examine(read(gone)).word is Word.HEALTHY
    found = examine(read(gone, put(NB1, "Logical_Switch_Port", "name", A, enabled=False)))
    assert codes(found) == ["lsp.disabled"]
    assert [one.command for one in found.plan.questions] == [f"isthmus why {A} external icmp"]


def no_ports(tables: Tables) -> None:
    for place, found in tables.items():
        if place[0] in (Source.CENTRAL, Source.NEUTRON):
            found["port"] = []


@pytest.mark.parametrize(
    "code", ["host.vswitchd_hung", "host.controller_hung", "chassis.behind", "northd.behind",
             "host.encap_ip", "site.unreachable", "job.parked", "report.refused"],
)  # fmt: skip
def test_a_site_is_looked_at_where_no_port_is(code: str) -> None:
    quiet = examine(read(no_ports))
    assert (quiet.word, quiet.plan.questions) == (Word.HEALTHY, ())
    assert code in codes(examine(read(no_ports, {**BLOCKED, **DEGRADED}[code])))


def test_services_that_rules_name_are_asked_for() -> None:
    asked = {one.command.rpartition(" ")[2] for one in examine(read()).plan.questions}
    assert asked == {"icmp", "tcp/443"}
    more = [rule("ingress", protocol="udp", port_range_min=at, port_range_max=at) for at in (1, 2)]
    asked = {one.command.rpartition(" ")[2] for one in examine(read(rules(*more))).plan.questions}
    assert asked == {"icmp", "udp/1", "udp/2"}


def spread(tables: Tables) -> None:
    """Put nine more ports beside the first one."""
    for place in (CENTRAL, N1):
        (row,) = (one for one in tables[place]["port"] if one["id"] == A)
        tables[place]["port"] += [{**copy.deepcopy(row), "id": f"a{n}"} for n in range(9)]


def test_each_port_is_asked_for_with_one_of_each_other_site() -> None:
    dump = make_dump(healthy())
    tables = healthy()
    spread(tables)
    more = make_dump(tables).tables[CENTRAL]["port"]
    dump.tables[CENTRAL]["port"] = more
    dump.add(
        *CENTRAL, "site_mapping",
        [{"id": n, "type": "port", "resource_id": f"a{n}", "site": "s1"} for n in range(9)],
    )  # fmt: skip
    asked = examine(dump).plan.questions
    across = {one.source for one in asked if one.target == B}
    assert across == {A, *(f"a{n}" for n in range(9))}
    assert len(asked) < 20


@pytest.mark.parametrize("source", [Source.NEUTRON, Source.NB, Source.SB])
def test_what_was_not_read_leaves_the_whole_open(source: Source) -> None:
    dump = make_dump(healthy())
    del dump.tables[source, "s1"]
    error = errors.Unsupported("no way in")
    dump.missing.append(
        Missing(source=source, place="s1", table="", error=error.code, reason=error.message)
    )
    found = examine(dump)
    assert (found.word, codes(found)) == (Word.UNDETERMINED, [])
    assert to_document(found)["not_looked_at"][0]["reason"] == "no way in"


def test_hypervisors_that_cannot_be_read_do_not() -> None:
    dump = make_dump(healthy())
    for place in [one for one in dump.tables if one[0] is Source.HOST]:
        del dump.tables[place]
        dump.missing.append(
            Missing(source=place[0], place=place[1], table="", error="e", reason="no way in")
        )
    assert examine(dump).word is Word.HEALTHY


def test_a_disabled_site_is_told_and_not_asked() -> None:
    dump = read(put(CENTRAL, "site", "name", "s1", state="disabled"))
    del dump.tables[N1]
    error = errors.Unsupported("an operator has disabled it")
    dump.missing.append(
        Missing(source=N1[0], place="s1", table="", error=error.code, reason=error.message)
    )
    found = examine(dump)
    assert (found.word, codes(found)) == (Word.DEGRADED, ["site.disabled"])
    assert [one.id for one in found.plan.guests] == [B]


DISABLED = put(NB1, "Logical_Switch_Port", "name", A, enabled=False)


def test_what_only_one_reading_has_is_not_told() -> None:
    readings = iter([read(DISABLED), read()])
    assert examine_lasting(lambda: next(readings)).word is Word.HEALTHY
    readings = iter([read(DISABLED), read(DISABLED)])
    assert codes(examine_lasting(lambda: next(readings))) == ["lsp.disabled"]
    readings = iter([read()])  # and is not asked twice
    assert examine_lasting(lambda: next(readings)).word is Word.HEALTHY


def test_a_watch_tells_what_two_readings_agree_on_once() -> None:
    well, ill = examine(read()), examine(read(DISABLED))
    watch = Watch(well)
    told: list[dict[str, Any] | None] = []
    for one in (well, ill, well, ill, ill, ill, well, ill, well, well, well):
        change = watch.take(one)
        told.append(to_change(change) if change else None)
    said = [
        (at, one["was"], one["verdict"], [x["code"] for x in one["new"]],
         [x["code"] for x in one["gone"]])
        for at, one in enumerate(told) if one
    ]  # fmt: skip
    assert said == [
        (4, "healthy", "broken", ["lsp.disabled"], []),
        (9, "broken", "healthy", [], ["lsp.disabled"]),
    ]


def test_a_watch_takes_a_site_that_was_late_once_for_no_change() -> None:
    lacking = make_dump(healthy())
    del lacking.tables[SB1]
    lacking.missing.append(
        Missing(source=SB1[0], place="s1", table="", error=errors.TimedOut.code, reason="late")
    )
    whole, late = examine(read()), examine(lacking)
    watch = Watch(whole)
    changes = [watch.take(one) for one in (late, whole, late, late, whole)]
    assert [one and one.health.word for one in changes] == [
        None, None, None, Word.UNDETERMINED, Word.HEALTHY
    ]  # fmt: skip


def test_a_finding_names_questions_that_a_person_can_ask() -> None:
    found = to_document(examine(read(DISABLED)), lab="mine")
    (row,) = found["findings"]
    assert (row["code"], row["name"], row["questions"]) == ("lsp.disabled", A, 3)
    assert row["ask"][0] == f"isthmus why {A} {B} icmp"
    assert row["remedy"].startswith("isthmus lab shell --name mine s1 -- ovn-nbctl")
    assert NET not in row["name"]


def test_the_questions_grow_with_ports_and_not_with_pairs_of_sites() -> None:
    dump = make_dump(healthy())
    (row,) = (one for one in dump.tables[CENTRAL]["port"] if one["id"] == A)
    dump.tables[CENTRAL]["port"] = [{**row, "id": f"p{n}"} for n in range(100)]
    dump.tables[CENTRAL]["site_mapping"] = [
        {"id": f"m{n}", "type": "port", "resource_id": f"p{n}", "site": f"far{n}"}
        for n in range(100)
    ]
    asked = [one for one in plan_questions(dump).questions if one.service == PING]
    met = Counter(end for one in asked for end in (one.source, one.target))
    assert len(asked) == 100 * 8
    assert {f"p{n}" for n in range(100)} == set(met)
    assert min(met.values()) >= 16
