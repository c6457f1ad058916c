"""Of clouds that are well nothing is found: random clouds and questions, out of seeds."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.tables.grown import Grown, Question, draw_question, grow
from tests.tables.grown_rows import make_dump

from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.course import Kind
from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import Diagnosis, Word, judge
from isthmus.diagnose.question import parse_service
from isthmus.diagnose.world import Source

#: Questions of one cloud.
OF_A_CLOUD = 20
FALSE_ALARMS = 0.01


def ask(dump: Dump, question: Question) -> Diagnosis:
    ways, service = Recorded(dump), parse_service(question.service)
    scene = collect_scene(
        ways, question.source, question.target, timeout_s=600, now=ways.now, service=service,
        family=question.family,
    )  # fmt: skip
    return judge(scene.world, scene.source, scene.target, service, scene.family)


def draw(cloud: Grown, seed: int, count: int = OF_A_CLOUD) -> list[Question]:
    """Draw questions whose packets pass; of some clouds there are few."""
    dice = random.Random(seed)
    drawn = (draw_question(cloud, dice) for _ in range(count * 10))
    return [one for one in drawn if one is not None][:count]


def count_alarms(first: int, questions: int) -> tuple[int, Counter[str]]:
    """Ask so many questions of clouds from a seed on; gives how many were asked, and alarms."""
    asked, alarms, seed = 0, Counter[str](), first
    while asked < questions:
        cloud = grow(seed)
        dump = make_dump(cloud)
        for question in draw(cloud, seed)[: questions - asked]:
            found = ask(dump, question)
            asked += 1
            if found.word is not Word.REACHABLE:
                why = [one.verdict.code for one in found.blockers] or found.report.unseen
                alarms[f"seed {seed}: {question}: {found.word}: {why}"] += 1
        seed += 1
    return asked, alarms


def test_of_what_is_well_nothing_is_found() -> None:
    _, alarms = count_alarms(1000, 150)
    assert not alarms, alarms


@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", [1, 5000])
def test_a_thousand_questions_of_what_is_well(first: int) -> None:
    asked, alarms = count_alarms(first, 1000)
    assert alarms.total() <= FALSE_ALARMS * asked, alarms


@pytest.mark.parametrize("seed", range(2000, 2006))
def test_in_such_a_cloud_a_fault_is_found(seed: int) -> None:
    cloud = grow(seed)
    by_id = {one.id: one for one in cloud.servers}
    for question in draw(cloud, seed, 5):
        if question.source not in by_id:
            continue
        dump, server = make_dump(cloud), by_id[question.source]
        rows: list[Any] = dump.tables[Source.NB, server.site]["Logical_Switch_Port"]
        for row in rows:
            if row["name"] == server.id:
                row["enabled"] = [False]
        found = ask(dump, question)
        assert [one.verdict.code for one in found.blockers] == ["lsp.disabled"], question


Change = Callable[[Dump, Diagnosis], bool]


def one_name(dump: Dump, well: Diagnosis) -> bool:
    """Give both hypervisors of a question one name in OVN."""
    one, other = well.ways[0].sender, well.ways[0].receiver
    if one.site != other.site or not one.host or not other.host or one.host == other.host:
        return False
    for host in (one.host, other.host):
        rows: list[Any] = dump.tables[Source.HOST, host]["Open_vSwitch"]
        rows[0]["external_ids"]["system-id"] = "same"
    return True


def advertise(**configs: str) -> Change:
    """Let the sender's router say something else of IPv6."""

    def change(dump: Dump, well: Diagnosis) -> bool:
        way = well.legs[0][0]
        if way.packet.family != 6 or not way.course.passages:
            return False
        enters = way.course.passages[0].enters or {}
        rows: list[Any] = dump.tables[Source.NB, way.sender.site]["Logical_Router_Port"]
        for row in rows:
            if row["name"] == f"lrp-{enters['id']}":
                row["ipv6_ra_configs"] = configs
        return True

    return change


#: code: what is wrong, if a question that is well meets it.
GROWN: dict[str, Change] = {
    "host.system_id_twice": one_name,
    "lrp.no_advertisement": advertise(),
    "lrp.other_advertisement": advertise(address_mode="dhcpv6_stateful"),
}


def ask_broken(change: Change) -> Diagnosis:
    """Break a cloud out of a seed, the first of whose questions one meets the fault; and ask it."""
    for seed in range(1, 100):
        cloud = grow(seed)
        for question in draw(cloud, seed, 10):
            dump = make_dump(cloud)
            if change(dump, ask(dump, question)):
                return ask(dump, question)
    raise LookupError


@pytest.mark.parametrize("code", GROWN)
def test_what_only_such_a_cloud_can_have_is_named(code: str) -> None:
    assert ask_broken(GROWN[code]).blockers[0].verdict.code == code


def _take(dump: Dump, place: tuple[Source, str], table: str, name: str) -> None:
    """Take a row away."""
    rows: list[Any] = dump.tables[place][table]
    gone = [row for row in rows if row["name"] == name]
    assert gone
    rows.remove(gone[0])


def _find_crossing() -> tuple[Grown, Question, Diagnosis]:
    """Find a question whose packet crosses to a site since its network is not present here."""
    for seed in range(1, 200):
        cloud = grow(seed)
        for question in draw(cloud, seed, 5):
            found = ask(make_dump(cloud), question)
            if found.legs[0][0].course.kind is Kind.CROSS:
                return cloud, question, found
    raise AssertionError


def test_where_a_network_is_not_present_its_site_is_looked_at() -> None:
    cloud, question, well = _find_crossing()
    first, last = well.legs[0]
    assert (first.receiver.site, last.sender.site) == (last.sender.site, first.receiver.site)
    assert first.course.passages[-1].leaves is None
    port = last.course.passages[-1].leaves
    assert port is not None
    dump, place = make_dump(cloud), (Source.NB, last.sender.site)
    _take(dump, place, "Logical_Router_Port", f"lrp-{port['id']}")
    assert "lrp.missing" in [one.verdict.code for one in ask(dump, question).blockers]
    dump, place = make_dump(cloud), (Source.NB, first.sender.site)
    name = f"isthmus-transit-{first.course.router_id}/{first.receiver.site}"
    _take(dump, place, "Logical_Switch_Port", name)
    assert ask(dump, question).blockers[0].verdict.code == "transit.peer_missing"
