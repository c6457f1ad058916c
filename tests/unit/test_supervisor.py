"""How often Xjob looks at the journal, and when it compares sites."""

import dataclasses
import itertools
import logging
import threading
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from typing_extensions import override

from isthmus import errors
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.journal.protocols import Clock
from isthmus.model.intent import RenewalRequest
from isthmus.model.site import Reachability, Site, SiteName
from isthmus.testing.clock import FakeClock
from isthmus.testing.journal import FakeSite, FakeWorld, MemoryJournal
from isthmus.testing.until import until
from isthmus.worker.supervisor import Supervisor

ONE = Site(name=SiteName("one"), region="r", availability_zones=(), service_user="u")


class Asked:
    """What somebody asked for."""

    def __init__(self) -> None:
        self.rows: list[RenewalRequest] = []
        self.released: list[SiteName] = []
        self.held: list[list[str]] = []
        self.error: errors.IsthmusError | None = None

    def take(self, sites: Collection[SiteName], held: Collection[str]) -> Sequence[RenewalRequest]:
        self.held.append(sorted(held))
        taken = [one for one in self.rows if one.site in sites]
        self.rows = [one for one in self.rows if one.site not in sites]
        return taken

    def release(self, sites: Collection[SiteName]) -> None:
        self.released += sites
        if self.error is not None:
            raise self.error

    def release_dead(self, is_dead: object) -> None:
        pass

    def drop_ended(self) -> None:
        pass


class Work:
    """One site with nothing to deliver, and what the journal's look says."""

    def __init__(self) -> None:
        self.settings: Any = SimpleNamespace(
            poll_interval_s=0.2,
            journal_sweep_s=60,
            renewal_sweep_s=0,
            keep_events_s=1000,
            most_events=10,
            probe_interval_s=1000,
            call_timeout_s=1,
            claim_s=1,
        )
        self.fake = FakeClock()
        self.clock: Clock = self.fake
        self.due: set[SiteName] = set()
        self.restored = 0
        self.renewed = 0
        self.looks = 0
        self.sites = [ONE]
        self.requests = Asked()
        self.compared: list[str] = []

    def list_sites(self) -> list[Site]:
        return self.sites

    def due_lanes(self) -> set[SiteName]:
        return self.due

    def open_lane(self, one: Site) -> tuple[Delivery, Any]:
        delivery = Delivery(
            one.name,
            store=MemoryJournal(self.fake),
            source=FakeWorld({}),
            carrier=FakeSite(),
            clock=self.clock,
            settings=DeliverySettings(owner="a", claim_s=60),
        )
        return delivery, SimpleNamespace(ping=lambda: None)

    def record_reachability(
        self, name: SiteName, reachability: Reachability, error: str = ""
    ) -> None:
        pass

    def drop_orphans(self) -> int:
        return 0

    def drop_old_events(self, *, keep_s: float, most: int) -> int:
        self.kept = (keep_s, most)
        return 0

    def retry_in_use(self, lane: SiteName) -> None:
        pass

    def release_dead(self, is_dead: object) -> int:
        return 0

    def correct_times(self, claim_s: float) -> int:
        return 0

    def find_restored(self) -> int:
        return self.restored

    def open_requested(self, one: Site, request: RenewalRequest) -> Any:
        assert one.name == request.site

        def step() -> bool:
            self.compared.append(request.id)
            return False

        return SimpleNamespace(step=step, found=SimpleNamespace(pages=0, noted=0))

    def open_renewal(self, one: Site) -> Any:
        assert one in self.sites
        self.renewed += 1
        return SimpleNamespace(step=lambda: False, found=SimpleNamespace(pages=0, noted=0))


def test_the_journal_is_looked_at_more_often_for_a_while_after_work_was_found() -> None:
    work = Work()
    supervisor = Supervisor(work)
    try:
        supervisor.turn(100.0)
        assert supervisor.choose_pause(100.0) == pytest.approx(0.2)
        work.due = {ONE.name}
        supervisor.turn(101.0)
        work.due = set()
        assert supervisor.choose_pause(101.0) == pytest.approx(0.05)
        supervisor.turn(105.9)
        assert supervisor.choose_pause(105.9) == pytest.approx(0.05)
        assert supervisor.choose_pause(106.0) == pytest.approx(0.2)
        work.due = {SiteName("of-nobody")}  # a lane that another worker follows
        supervisor.turn(107.0)
        assert supervisor.choose_pause(107.0) == pytest.approx(0.2)
    finally:
        supervisor.end()


@pytest.mark.parametrize("sweep_s", [0.0, 1e12])
def test_sites_are_compared_once_a_restored_central_has_settled(sweep_s: float) -> None:
    """A shadow that was recorded and not sent before the backup was put back came a day later."""
    work = Work()
    work.settings.renewal_sweep_s = sweep_s
    supervisor = Supervisor(work)
    try:
        supervisor.turn(100.0)
        assert work.renewed == 0
        for epoch in (2, 3):
            work.restored = 0  # it waits for its sites
            supervisor.turn(100.0 * epoch)
            assert work.renewed == epoch - 2
            work.restored = epoch
            for later in (10.0, 50.0, 60.0):
                supervisor.turn(100.0 * epoch + later)
            assert work.renewed == epoch - 1
    finally:
        supervisor.end()


def test_a_site_that_was_disabled_meanwhile_is_compared_when_it_is_enabled() -> None:
    work = Work()
    work.settings.renewal_sweep_s = 1e12
    work.sites, work.restored = [], 2
    supervisor = Supervisor(work)
    try:
        supervisor.turn(100.0)
        work.sites = [ONE]
        supervisor.turn(200.0)
        supervisor.turn(230.0)
        assert work.renewed == 1
    finally:
        supervisor.end()


def test_many_sites_are_not_compared_all_at_once() -> None:
    """A central that has just recovered would be asked for pages of a thousand sites in 30 s."""
    work = Work()
    work.sites = [dataclasses.replace(ONE, name=SiteName(f"s{one}")) for one in range(120)]
    work.restored = 2
    supervisor = Supervisor(work)
    try:
        supervisor.turn(100.0)
        supervisor.turn(130.0)
        assert 0 < work.renewed < 90
        supervisor.turn(220.0)
        assert work.renewed == 120
    finally:
        supervisor.end()


def test_what_somebody_asks_for_is_compared_at_once_and_left_to_others_at_the_end() -> None:
    work = Work()
    supervisor = Supervisor(work)
    try:
        supervisor.turn(100.0)
        work.requests.rows = [RenewalRequest(id=f"r{number}", site=ONE.name) for number in range(3)]
        work.requests.rows.append(RenewalRequest(id="other", site=SiteName("of-nobody")))
        supervisor.turn(102.0)
        until(lambda: work.compared == ["r0", "r1", "r2"], what="all are compared, in their order")
        assert [one.id for one in work.requests.rows] == ["other"]
        assert work.renewed == 0
    finally:
        supervisor.end()
    assert work.requests.released == [ONE.name]


def test_a_worker_holds_what_it_is_at_and_no_more() -> None:
    """What it took on and could not begin, or has ended, another one may take on."""
    work = Work()
    supervisor = Supervisor(work)
    opens, goes_on = work.open_requested, threading.Event()

    def open_requested(one: Site, request: RenewalRequest) -> Any:
        if request.id == "bad":
            raise errors.Inconsistent("it cannot be opened")
        opened = opens(one, request)

        def step() -> bool:
            goes_on.wait()
            return bool(opened.step())

        return SimpleNamespace(step=step, found=opened.found)

    work.open_requested = open_requested  # type: ignore[method-assign]
    try:
        supervisor.turn(100.0)
        work.requests.rows = [RenewalRequest(id="good", site=ONE.name)]
        supervisor.turn(102.0)
        work.requests.rows = [RenewalRequest(id="bad", site=ONE.name)]
        with pytest.raises(errors.Inconsistent):
            supervisor.turn(104.0)
        supervisor.turn(106.0)
        assert work.requests.held == [[], [], ["good"], ["good"]]
        goes_on.set()

        clock = itertools.count(108.0, 2.0)

        def is_over() -> bool:
            supervisor.turn(next(clock))
            return work.requests.held[-1] == []

        until(is_over, what="it is done")
        assert work.compared == ["good"]
    finally:
        goes_on.set()
        supervisor.end()


@pytest.mark.parametrize(
    "error", [errors.Unreachable("the database is away"), errors.Inconsistent("no such table")]
)
def test_a_worker_ends_whatever_its_database_says(error: errors.IsthmusError) -> None:
    work = Work()
    work.requests.error = error
    supervisor = Supervisor(work)
    supervisor.turn(100.0)
    supervisor.end()
    assert work.requests.released == [ONE.name]


class Stopping(threading.Event):
    """Set once it has been waited for so many times."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._left = turns

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left <= 0:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    "error", [errors.Inconsistent("the database refused a statement"), RuntimeError("a bug")]
)
def test_what_nobody_foresaw_ends_no_lane(error: Exception) -> None:
    """On MariaDB a table that is not there is such an error; SQLite calls it one that may pass."""
    work, fails = Work(), [error]

    def look() -> set[SiteName]:
        if fails:
            raise fails.pop()
        work.looks += 1
        return set()

    work.due_lanes = look  # type: ignore[method-assign]
    Supervisor(work).run(Stopping(6))
    assert work.looks > 0


def test_a_site_that_cannot_be_served_keeps_no_other_from_it() -> None:
    work = Work()
    bad = dataclasses.replace(ONE, name=SiteName("bad"))
    work.sites = [bad, ONE]
    opened, opens = [], work.open_lane

    def open_lane(one: Site) -> tuple[Delivery, Any]:
        if one == bad:
            raise RuntimeError("a bug")
        opened.append(one.name)
        return opens(one)

    work.open_lane = open_lane  # type: ignore[method-assign]
    supervisor = Supervisor(work)
    try:
        supervisor.turn(100.0)
        supervisor.turn(200.0)
        assert opened == [ONE.name]
    finally:
        supervisor.end()


@pytest.mark.parametrize("what", ["list_sites", "open_lane"])
def test_what_fails_each_second_is_logged_once(what: str, caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    whole, away = getattr(work, what), [True]

    def fail(*arguments: Any) -> Any:
        if away[0]:
            raise RuntimeError("the database is away")
        return whole(*arguments)

    setattr(work, what, fail)
    caplog.set_level(logging.INFO, "isthmus.worker.supervisor")
    supervisor = Supervisor(work)
    clock = itertools.count(100.0, 2.0)
    turns = supervisor.turn
    supervisor.turn = lambda now: turns(next(clock) + now * 0)  # type: ignore[method-assign]
    supervisor.run(Stopping(9))
    said = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(said) == 1
    assert said[0].exc_info is not None
    away[0] = False
    supervisor.run(Stopping(3))
    assert f"lane={ONE.name} begins region=r" in caplog.text
