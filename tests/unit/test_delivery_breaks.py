"""A pass over a lane that ends as nobody foresaw, or before it could settle what it claimed."""

from collections.abc import Sequence
from typing import Any

import pytest
from typing_extensions import override

from isthmus import errors
from isthmus.journal.engine import Delivery, DeliverySettings, Side
from isthmus.model.intent import IntentKey, Settlement
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.testing.clock import FakeClock
from isthmus.testing.journal import FakeSite, FakeWorld, MemoryJournal

LANE = SiteName("site1")
PORTS = [IntentKey(LANE, ResourceType.PORT, f"p{number:02}") for number in range(30)]
BAD = PORTS[3]


class Journal(MemoryJournal):
    """Its database is away for a moment."""

    away = 0
    error: Exception = errors.Unreachable("the database does not answer")

    @override
    def settle(self, settlements: Sequence[Settlement]) -> None:
        if self.away:
            self.away -= 1
            raise self.error
        super().settle(settlements)


class World(FakeWorld):
    """Cannot read one object, for a reason that nobody foresaw."""

    bad: IntentKey | None = None

    @override
    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Any:
        if self.bad in keys:
            raise KeyError("gone while it was read")
        return super().read(lane, keys)


class Bench:
    """A lane with thirty ports."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = Journal(self.clock)
        self.world = World({key: {} for key in PORTS})
        self.site = FakeSite()
        self.delivery = Delivery(
            LANE,
            store=self.journal,
            source=self.world,
            carrier=self.site,
            clock=self.clock,
            settings=DeliverySettings(owner="a", batch=10, claim_s=3600),
            uniform=lambda: 0.0,
        )
        self.journal.record(PORTS)

    def deliver(self) -> None:
        """Go on for a minute."""
        for _ in range(60):
            while not self.delivery.run().idle:
                pass
            self.clock.move(1)


@pytest.mark.parametrize("side", list(Side))
def test_one_object_that_breaks_each_pass_keeps_no_other_from_the_lane(side: Side) -> None:
    """A bug in reading or carrying one held up all that were claimed with it, again and again."""
    bench = Bench()

    def check(items: Sequence[Item]) -> None:
        if BAD.id in {item.id for item in items}:
            raise TypeError("nobody foresaw this")

    if side is Side.SOURCE:
        bench.world.bad = BAD
    else:
        bench.site.before = check
    bench.deliver()
    assert set(bench.site.held) == {key.id for key in PORTS if key != BAD}
    (job,) = bench.journal.list_jobs()
    assert (job.key, "nobody foresaw this" in job.last_error) == (BAD, True)
    bench.world.bad = bench.site.before = None
    bench.deliver()
    assert bench.journal.list_jobs() == []


@pytest.mark.parametrize(
    "error", [Journal.error, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")]
)
def test_what_could_not_be_settled_is_released_by_the_next_pass(error: Exception) -> None:
    """It was due only when its claims had expired."""
    bench = Bench()
    bench.journal.away, bench.journal.error = 1, error
    with pytest.raises(type(error)):
        bench.delivery.run()
    bench.deliver()
    assert bench.journal.list_jobs() == []
    assert sum(len(batch) for batch in bench.site.batches) == len(PORTS) + 10
