"""Who has answered and who has not, by a clock of the test's own."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from isthmus import errors
from isthmus.dataplane.alive.answer import ANSWER_KEY, Answerer
from isthmus.dataplane.alive.follower import Follower
from isthmus.dataplane.alive.pulse import Ask, Pulse
from isthmus.dataplane.rows import OvnRows
from isthmus.testing.until import until


class Row(SimpleNamespace):
    """A row of a database in memory."""

    def setkey(self, column: str, key: str, value: str) -> None:
        getattr(self, column)[key] = value

    def increment(self, column: str) -> None:
        setattr(self, column, getattr(self, column) + 1)


class Base:
    """A database: it takes what is written, or does not."""

    def __init__(self, **tables: list[Row]) -> None:
        self.tables = tables
        self.failure: Exception | None = None
        self.refusal: list[str] = []
        self.written = 0

    lock = contextlib.nullcontext()

    def rows(self, table: str) -> Iterator[Row]:
        yield from self.tables[table]

    def find(self, table: str, value: Any, column: str = "name") -> Row | None:
        return next((one for one in self.rows(table) if getattr(one, column) == value), None)

    def commit(self, commands: Sequence[Any]) -> list[str]:
        self.written += 1
        if self.failure is not None:
            raise self.failure
        if not self.refusal:
            for one in commands:
                one.write(self)
        return self.refusal


class Site:
    """A site's OVN, its clock, and who of it is alive."""

    def __init__(self, every_s: float = 15) -> None:
        self.now = 1000.0
        self.top = Row(uuid="nb", nb_cfg=7, sb_cfg=7, external_ids={})
        self.nb = Base(NB_Global=[self.top])
        self.hosts = [self.make_host("hv1"), self.make_host("hv2")]
        self.sb = Base(SB_Global=[Row(uuid="sb", external_ids={})], Chassis_Private=self.hosts)
        self.dead: set[str] = set()
        self.maintained = False  # whether Neutron's maintenance worker has ever run
        self.rows = OvnRows(self.nb, self.sb)
        self.pulse = Pulse(lambda: self.rows, every_s, clock=lambda: self.now)

    @staticmethod
    def make_host(name: str, **chassis: Any) -> Row:
        columns = {"hostname": f"{name}.example", "external_ids": {}, "other_config": {}}
        there = Row(**{**columns, **chassis})
        return Row(name=name, nb_cfg=7, external_ids={}, chassis=[there])

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        if "northd" not in self.dead:
            self.top.sb_cfg = self.top.nb_cfg
        for one in self.hosts:
            if one.name not in self.dead:
                one.nb_cfg = self.top.sb_cfg
                if "neutron:ovn-metadata-id" in one.external_ids and "agent" not in self.dead:
                    one.external_ids["neutron:ovn-metadata-sb-cfg"] = str(one.nb_cfg)
        if self.maintained and "maintenance" not in self.dead:
            Answerer(lambda: (self.nb, lambda: True)).beat(self.nb)
        self.pulse.beat(self.rows)
        if self.pulse._doubted.is_set():  # what the other thread does
            self.pulse._doubted.clear()
            self.pulse.touch(self.rows)

    def run(self, seconds: int) -> dict[str, Any]:
        for _ in range(seconds):
            self.step()
        return self.pulse.report()


def find_silent(report: dict[str, Any]) -> set[str]:
    """Name who has owed an answer for 20 s."""
    known = ("northbound", "southbound", "northd", "maintenance")
    named = {key: report[key] for key in known if key in report}
    for host in report["hypervisors"]:
        named[host["name"]] = host
        named |= {f"{what} of {host['name']}": one for what, one in host["agents"].items()}
    return {name for name, one in named.items() if (one["behind_s"] or 0) > 20}


def test_where_all_answer_nobody_is_behind_and_one_asks_at_its_pace() -> None:
    site = Site()
    report = site.run(150)
    assert find_silent(report) == set()
    assert [one["hostname"] for one in report["hypervisors"]] == ["hv1.example", "hv2.example"]
    assert 9 <= site.nb.written <= 11
    assert site.sb.written == 0, "nobody doubts SB"
    assert all(one["took_s"] <= 2 for one in report["hypervisors"])


@pytest.mark.parametrize("dead", ["northd", "hv1", "hv2"])
def test_who_is_dead_is_behind_alone_and_comes_back(dead: str) -> None:
    site = Site()
    site.run(20)
    site.dead.add(dead)
    report = site.run(60)
    assert find_silent(report) == {dead}
    # While northd answers SB lives, and each write to it goes to all who listen there.
    assert (site.sb.written > 0) is (dead == "northd")
    site.dead.clear()
    assert find_silent(site.run(20)) == set()


def test_an_agent_is_told_apart_from_its_hypervisor() -> None:
    site = Site()
    site.hosts[0].external_ids["neutron:ovn-metadata-id"] = "x"
    assert find_silent(site.run(40)) == set()
    site.dead.add("agent")
    assert find_silent(site.run(60)) == {"metadata agent of hv1"}


def test_a_maintenance_worker_that_ever_answered_is_missed() -> None:
    site = Site()
    assert "maintenance" not in site.run(40), "its Neutron may be an older one"
    site.maintained = True
    asked = site.nb.written
    report = site.run(60)
    assert find_silent(report) == set()
    assert report["maintenance"]["took_s"] <= 2
    assert site.nb.written - asked <= 10, "one answer for each question"
    site.dead.add("maintenance")
    assert find_silent(site.run(60)) == {"maintenance"}
    # A process that starts only now learns of it from what it finds in NB.
    site.pulse = Pulse(lambda: site.rows, 15, clock=lambda: site.now)
    assert find_silent(site.run(60)) == {"maintenance"}
    site.dead.clear()
    assert find_silent(site.run(20)) == set()


def test_only_the_worker_that_has_the_lock_answers() -> None:
    site = Site()
    may, looked = threading.Event(), threading.Event()

    def has_lock() -> bool:
        looked.set()
        return may.is_set()

    answerer = Answerer(lambda: (site.nb, has_lock))
    answerer.start()
    try:
        assert looked.wait(30)
        looked.clear()
        assert looked.wait(30), "it looks again"
        assert site.nb.written == 0
        may.set()
        until(lambda: site.top.external_ids.get(ANSWER_KEY) == "7", what="an answer", timeout_s=30)
    finally:
        answerer.stop()


@pytest.mark.parametrize(
    "fail", [errors.TimedOut("it hangs"), RuntimeError("gone"), ["it did not answer in time"]]
)
def test_a_database_that_takes_no_write_is_behind(fail: Any) -> None:
    site = Site()
    site.run(20)
    if isinstance(fail, list):
        site.nb.refusal = fail
    else:
        site.nb.failure = fail
    report = site.run(60)
    assert find_silent(report) == {"northbound"}
    assert report["northbound"]["error"] == (fail[0] if isinstance(fail, list) else str(fail))
    site.nb.failure, site.nb.refusal = None, []
    report = site.run(20)
    assert find_silent(report) == set()
    assert report["northbound"]["error"] == ""


def test_a_write_that_hangs_is_seen_while_it_hangs() -> None:
    site = Site()
    site.run(20)
    entered, gate = threading.Event(), threading.Event()
    commit = site.nb.commit

    def hang(commands: Sequence[Any]) -> list[str]:
        entered.set()
        assert gate.wait(60)
        return commit(commands)

    site.nb.commit = hang  # type: ignore[method-assign]
    writer = threading.Thread(target=lambda: site.run(20))
    writer.start()
    try:
        assert entered.wait(60)
        site.now += 40
        assert find_silent(site.pulse.report()) == {"northbound"}
    finally:
        gate.set()
        writer.join()
    assert find_silent(site.run(20)) == set()


def test_southbound_is_asked_where_there_is_a_doubt() -> None:
    site = Site()
    site.run(20)
    site.dead |= {"northd"}
    site.sb.failure = errors.TimedOut("it hangs")
    assert find_silent(site.run(60)) == {"southbound", "northd"}
    site.dead.clear()
    site.sb.failure = None
    assert find_silent(site.run(20)) == set(), "it is asked until it answers, whoever else has"


def test_a_southbound_database_that_was_away_is_not_slow_for_ever() -> None:
    site = Site()
    site.run(20)
    site.dead.add("northd")
    site.sb.refusal = ["no answer"]
    assert find_silent(site.run(90)) == {"northd", "southbound"}
    site.sb.refusal = []
    site.dead.clear()
    report = site.run(20)
    assert report["southbound"]["took_s"] <= 2
    written = site.sb.written
    site.run(60)
    assert site.sb.written == written, "nobody doubts SB any more"


def test_who_sees_that_another_has_asked_does_not_ask() -> None:
    site = Site()
    site.run(20)
    written = site.nb.written
    for _ in range(60):
        site.top.nb_cfg += 1
        site.step()
    assert site.nb.written == written
    assert find_silent(site.pulse.report()) == set()


def test_hypervisors_of_other_sites_and_those_that_are_gone_are_not_followed() -> None:
    site = Site()
    site.hosts += [
        site.make_host("far", other_config={"is-remote": "true"}),
        site.make_host("shadow", external_ids={"isthmus:shadow": "yes"}),
    ]
    gone = Row(name="gone", nb_cfg=1, external_ids={}, chassis=[])
    site.hosts.append(gone)
    site.dead |= {"far", "shadow", "gone"}
    report = site.run(60)
    assert [one["name"] for one in report["hypervisors"]] == ["hv1", "hv2"]
    del site.hosts[1:]
    assert [one["name"] for one in site.run(2)["hypervisors"]] == ["hv1"]


def test_a_database_that_was_made_anew_owes_nothing() -> None:
    site = Site()
    site.run(20)
    site.top.nb_cfg = site.top.sb_cfg = 0
    for one in site.hosts:
        one.nb_cfg = 0
    assert find_silent(site.run(40)) == set()


def test_a_database_to_which_nobody_connects_is_behind_and_away() -> None:
    site = Site()

    def refuse() -> OvnRows:
        raise errors.Unreachable("no socket")

    site.pulse = Pulse(refuse, 15, clock=lambda: site.now)
    for _ in range(4):
        with pytest.raises(errors.Unreachable):
            site.pulse.open()
        site.now += 15
    report = site.pulse.report()
    assert find_silent(report) == {"northbound", "southbound"}
    assert report["northbound"]["error"] == "no socket"
    assert site.pulse.find_away() == "northbound"


@pytest.mark.parametrize(
    ("away", "silent"),
    [
        (["southbound"], {"southbound"}),
        (["northbound"], {"northbound"}),
        (["northbound", "southbound"], {"northbound", "southbound"}),
    ],
)
def test_of_two_databases_only_the_one_that_is_away_is_silent(
    away: list[str], silent: set[str]
) -> None:
    site = Site()

    def refuse() -> OvnRows:
        raise errors.Unreachable("no socket", away=away)

    site.pulse = Pulse(refuse, 15, clock=lambda: site.now)
    for _ in range(4):
        with pytest.raises(errors.Unreachable):
            site.pulse.open()
        site.now += 15
    report = site.pulse.report()
    assert find_silent(report) == silent
    assert {one for one in ("northbound", "southbound") if report[one]["error"]} == silent
    assert site.pulse.find_away() == away[0]


def test_a_question_that_another_process_was_faster_with_is_no_answer() -> None:
    site = Site()
    site.pulse.open()
    site.run(20)
    newest, now = site.pulse._newest, site.now
    assert newest is not None
    site.pulse._nb.write(site.nb, Ask(newest[0], newest[1] - 1), lambda: now + 40)  # nothing sent
    assert site.pulse._nb.follower.answered_at != now + 40
    site.now += 40
    assert site.pulse.find_away() == ""
    site.pulse._nb.write(site.nb, Ask(newest[0], newest[1]), lambda: site.now)
    assert site.pulse._nb.follower.answered_at == site.now


def test_which_database_is_away_is_known_soon() -> None:
    site = Site()
    site.pulse.open()
    site.run(20)
    assert site.pulse.find_away() == ""
    site.dead.add("northd")
    site.sb.failure = errors.TimedOut("it hangs")
    site.run(40)
    assert site.pulse.find_away() == "southbound"


@pytest.mark.parametrize("odd", ["9" * 5000, "9" * 17, "-5", "x\n\x1b[2J", "", "x" * 10_240])
def test_what_a_hypervisor_writes_instead_of_a_number_is_no_answer_and_stops_nothing(
    odd: str,
) -> None:
    site = Site()
    site.hosts[0].external_ids |= {"isthmus:switch": "7", "isthmus:switch-silent": odd}
    site.hosts[1].external_ids |= {"neutron:ovn-metadata-id": "x", "isthmus:switch-asked": odd}
    site.run(3)
    site.hosts[0].external_ids["isthmus:switch"] = odd or "x"
    site.dead.add("northd")
    assert "northd" in find_silent(site.run(90))
    site.dead.clear()
    assert find_silent(site.run(90)) == {"Open vSwitch of hv1"}


def test_who_died_before_nb_was_restored_is_silent() -> None:
    """It has written down a greater number than anybody has asked for since."""
    site = Site()
    site.run(10)
    site.dead.add("hv1")
    site.hosts[0].nb_cfg = 900
    assert find_silent(site.run(60)) == {"hv1"}
    site.dead.clear()
    assert find_silent(site.run(20)) == set()


def test_nobody_is_asked_where_it_is_switched_off() -> None:
    site = Site(every_s=0)
    site.pulse.start()
    assert site.pulse.report() == {}


def test_the_threads_ask_and_end() -> None:
    rows = Site().rows
    pulse = Pulse(lambda: rows, 0.05)
    pulse.start()
    asked = rows.nb.find("NB_Global", "nb", "uuid")
    wait = threading.Event()
    for _ in range(600):
        if asked.nb_cfg > 7:
            break
        wait.wait(0.1)
    assert asked.nb_cfg > 7
    pulse.stop()


def test_a_follower_remembers_since_when_however_often_it_is_asked() -> None:
    one = Follower(since=0)
    for number in range(1, 1000):
        one.ask(number, float(number))
    assert one.count_behind(1000) == 999
    one.reach(998, 1000)
    assert one.count_behind(1000) == 1
    one.reach(999, 1003)
    assert one.count_behind(1003) is None
    assert one.to_dict(1003)["took_s"] == 4
