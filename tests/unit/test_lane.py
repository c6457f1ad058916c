"""A lane's thread: what it does when, and what it compares when it has nothing to do."""

from typing import Any

import pytest

from isthmus import errors
from isthmus.federation.digest import Page
from isthmus.federation.renewal import Renewal, RequestedRenewal
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.model.intent import IntentKey, RenewalState
from isthmus.model.resource import ResourceType
from isthmus.model.site import Reachability, Site, SiteName
from isthmus.testing.clock import FakeClock
from isthmus.testing.journal import FakeSite, FakeWorld, MemoryJournal
from isthmus.worker.lane import Lane

SITE = SiteName("site1")
PORT = IntentKey(SITE, ResourceType.PORT, "p1")


class Bench:
    """A lane, everything around it, and what was done in which order."""

    def __init__(self, pages: int = 3) -> None:
        self.done: list[str] = []
        self.told: list[str] = []
        self.noted: list[tuple[Reachability, str]] = []
        self.error: errors.IsthmusError | None = None
        self.pages = pages
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.site = FakeSite()
        self.site.before = lambda items: self.done.extend(item.id for item in items)
        self.delivery = Delivery(
            SITE,
            store=self.journal,
            source=FakeWorld({PORT: {"name": "a"}}),
            carrier=self.site,
            clock=self.clock,
            settings=DeliverySettings(owner="a", claim_s=60),
        )
        site = Site(name=SITE, region="one", availability_zones=("one",), service_user="u")
        self.lane = Lane(
            site,
            delivery=self.delivery,
            client=self,
            note=self._note,
            clock=self.clock,
            probe_interval_s=1000,
        )

    def ping(self) -> None:
        pass

    def _note(self, reachability: Reachability, error: str) -> None:
        self.noted.append((reachability, error))

    # A renewal's two ends.

    def list_carried(self) -> dict[ResourceType, list[str]]:
        return {ResourceType.PORT: ["name"]}

    def make_page(
        self, _site: object, kind: ResourceType, after: str, _names: object, *, network: str = ""
    ) -> Page:
        if self.error is not None:
            raise self.error
        number = int(after or 0) + 1
        self.done.append(f"page {number}")
        return Page(kind=kind, after=after, until=str(number) if number < self.pages else "")

    def has(self, _page: Page) -> bool:
        return False

    def find_differing(self, page: Page) -> list[str]:
        return ["p1"] if not page.after else []

    def note(self, keys: list[IntentKey]) -> None:
        self.journal.record(keys)

    def renew(self, asked: str = "") -> None:
        """Have the lane compare; what is asked for tells how far it is."""
        renewal = Renewal(SITE, central=self, holder=self, journal=self)  # type: ignore[arg-type]

        def record(state: RenewalState, *, pages: int, noted: int, error: str) -> None:
            self.told.append(f"{asked} {state} {pages} {noted} {error}".rstrip())

        if asked:
            self.lane.renew(RequestedRenewal(renewal, record), asked=True)
        else:
            self.lane.renew(renewal)


def test_intents_go_before_pages() -> None:
    bench = Bench()
    bench.journal.record([PORT])
    bench.renew()
    bench.lane.turn()
    assert bench.done == ["p1", "page 1", "p1", "page 2", "page 3"]
    bench.done.clear()
    bench.lane.turn()
    assert bench.done == [], "once"


def test_a_site_that_is_compared_for_long_is_not_silent() -> None:
    """Nobody probes it meanwhile."""
    bench = Bench(pages=5)
    make_page = bench.make_page

    def take_long(*args: Any, **options: Any) -> Page:
        bench.clock.move(600)
        return make_page(*args, **options)

    bench.make_page = take_long  # type: ignore[method-assign]
    bench.renew()
    bench.lane.turn()
    assert len(bench.noted) >= 3
    assert set(bench.noted) == {(Reachability.REACHABLE, "")}


def test_a_silent_site_is_not_compared() -> None:
    bench = Bench()
    bench.journal.record([PORT])
    bench.site.error = errors.Unreachable("gone")
    bench.renew()
    bench.lane.turn()
    bench.lane.turn()
    assert bench.done == ["p1"]
    bench.site.error = None
    bench.clock.move(60)
    bench.lane.turn()
    assert bench.done[-1] == "page 3"


@pytest.mark.parametrize(
    ("error", "at_once"),
    [(errors.TimedOut("slow"), True), (errors.NotFound("no such path"), False)],
)
def test_what_fails_for_a_while_is_taken_up_again(
    error: errors.IsthmusError, at_once: bool
) -> None:
    """An error page of one call ended the comparison for a day."""
    bench = Bench()
    bench.renew()
    bench.error = error
    bench.lane.turn()
    assert bench.done == []
    bench.error = None
    bench.lane.turn()
    assert bool(bench.done) is at_once
    bench.clock.move(300)
    bench.lane.turn()
    assert bench.done[-1] == "page 3"


def test_what_somebody_asked_for_comes_first_and_tells_how_far_it_is() -> None:
    bench = Bench(pages=2)
    bench.renew()
    bench.renew("one")
    bench.renew("two")
    bench.lane.turn()
    assert bench.told == [
        "one comparing 1 1",
        "one done 2 1",
        "two comparing 1 1",
        "two done 2 1",
    ]
    assert bench.done.count("page 1") == 3, "the daily one as well"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.TimedOut("slow"), ["one comparing 0 0 slow"]),
        (errors.NotFound("no such path"), ["one failed 0 0 no such path"]),
    ],
)
def test_what_somebody_asked_for_tells_why_it_does_not_go_on(
    error: errors.IsthmusError, told: list[str]
) -> None:
    bench = Bench(pages=1)
    bench.error = error
    bench.renew("one")
    bench.lane.turn()
    assert bench.told == told
    bench.error = None
    bench.lane.turn()
    assert bench.told[1:] == (["one done 1 1"] if isinstance(error, errors.Transient) else [])


def test_one_that_fails_does_not_keep_the_next_waiting() -> None:
    bench = Bench(pages=1)
    bench.error = errors.NotFound("no such path")
    bench.renew("one")
    bench.renew("two")
    bench.lane.turn()
    assert [one.split()[:2] for one in bench.told] == [["one", "failed"], ["two", "failed"]]
