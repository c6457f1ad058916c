"""One pass over one lane: what is carried, in which order, and what becomes of each intent."""

import datetime
from collections.abc import Sequence

import pytest

from isthmus import errors
from isthmus.journal import decide
from isthmus.journal.decide import PATIENCE, SLOW_S
from isthmus.journal.engine import Delivery, DeliverySettings, Side
from isthmus.model.intent import IntentKey, JobState
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.testing.clock import FakeClock
from isthmus.testing.journal import FakeSite, FakeWorld, MemoryJournal

LANE = SiteName("site1")


def key(kind: ResourceType, name: str) -> IntentKey:
    return IntentKey(LANE, kind, name)


NETWORK, SUBNET, PORT = (
    key(ResourceType.NETWORK, "n1"),
    key(ResourceType.SUBNET, "s1"),
    key(ResourceType.PORT, "p1"),
)


class Bench:
    """A lane with everything around it."""

    def __init__(self, batch: int = 50) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.world = FakeWorld()
        self.site = FakeSite()
        self.delivery = Delivery(
            LANE,
            store=self.journal,
            source=self.world,
            carrier=self.site,
            clock=self.clock,
            settings=DeliverySettings(owner="a", batch=batch, claim_s=60),
            uniform=lambda: 0.0,
        )

    def want(self, *keys: IntentKey, **state: object) -> None:
        for one in keys:
            self.world.wanted[one] = dict(state)
        self.journal.record(keys)

    def drop(self, *keys: IntentKey) -> None:
        for one in keys:
            self.world.wanted[one] = None
        self.journal.record(keys)

    def deliver_all(self, passes: int = 100) -> None:
        for _ in range(passes):
            if self.delivery.run().idle:
                return
        pytest.fail(f"still busy after {passes} passes")

    def states(self) -> dict[IntentKey, JobState]:
        return {job.key: job.state for job in self.journal.list_jobs()}

    def carried(self) -> list[list[str]]:
        return [[item.id for item in batch] for batch in self.site.batches]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ports(count: int) -> list[IntentKey]:
    return [key(ResourceType.PORT, f"p{number:03}") for number in range(count)]


def test_nothing_to_do_costs_nothing(bench: Bench) -> None:
    assert bench.delivery.run().idle
    assert bench.world.reads == 0


def test_wanted_state_is_carried_in_the_order_of_making(bench: Bench) -> None:
    bench.want(PORT, SUBNET, NETWORK)
    done = bench.delivery.run()
    assert (done.claimed, done.taken) == (3, 3)
    assert bench.carried() == [["n1", "s1", "p1"]]
    assert bench.states() == {}


def test_removals_go_last_and_the_other_way_round(bench: Bench) -> None:
    other = key(ResourceType.NETWORK, "n2")
    bench.drop(NETWORK, SUBNET, PORT)
    bench.want(other)
    bench.delivery.run()
    assert bench.carried() == [["n2", "p1", "s1", "n1"]]
    assert set(bench.journal.removed) == {NETWORK, SUBNET, PORT}


def test_removals_wait_for_the_whole_backlog_even_in_small_batches() -> None:
    bench = Bench(batch=3)
    networks = [key(ResourceType.NETWORK, f"n{number}") for number in range(5)]
    bench.drop(*networks, *ports(5))
    bench.want(SUBNET)
    bench.deliver_all()
    carried = [name for batch in bench.carried() for name in batch]
    assert carried[0] == "s1"
    assert sorted(carried[1:6]) == [f"p{number:03}" for number in range(5)]
    assert sorted(carried[6:]) == [f"n{number}" for number in range(5)]


def test_the_state_at_the_moment_of_acting_is_carried(bench: Bench) -> None:
    bench.want(PORT, name="old")
    bench.world.wanted[PORT] = {"name": "new"}
    bench.delivery.run()
    assert bench.site.held["p1"] == {"name": "new"}


def test_a_change_during_delivery_is_carried_by_the_next_pass(bench: Bench) -> None:
    bench.want(PORT, name="old")

    def change(_: Sequence[Item]) -> None:
        bench.site.before = None
        bench.want(PORT, name="new")

    bench.site.before = change
    bench.delivery.run()
    assert bench.site.held["p1"] == {"name": "old"}
    bench.delivery.run()
    assert bench.site.held["p1"] == {"name": "new"}
    assert bench.states() == {}


def test_batches_carry_growing_numbers(bench: Bench) -> None:
    bench.want(NETWORK)
    bench.delivery.run()
    bench.want(NETWORK)
    bench.delivery.run()
    first, second = bench.site.sequences
    assert first < second


def test_a_sender_goes_on_above_what_the_other_side_has_seen(bench: Bench) -> None:
    """Its database came back from a backup: the first batch is late, the next one is not."""
    seen = 2**50
    bench.site.refusals = {PORT.id: errors.Stale("late", seen=seen)}
    bench.want(PORT)
    bench.delivery.run()
    assert bench.site.sequences[-1] < seen
    bench.site.refusals = {}
    bench.clock.move(60)
    bench.delivery.run()
    assert bench.site.sequences[-1] == seen + 1
    assert bench.states() == {}


def test_a_silent_lane_is_probed_ever_later_and_counts_no_attempt(bench: Bench) -> None:
    bench.want(NETWORK, SUBNET)
    error = bench.site.error = errors.Unreachable("gone")
    waits = []
    for _ in range(6):
        done = bench.delivery.run()
        assert done.error is error
        assert done.failed_side is Side.CARRIER
        assert done.retry_at_s is not None
        waits.append(done.retry_at_s - bench.clock.seconds())
        assert bench.delivery.run().idle, "shut until then"
        bench.clock.move(waits[-1])
    assert waits == [0.5, 1, 2, 4, 5, 5]
    assert [job.attempts for job in bench.journal.list_jobs()] == [0, 0]
    bench.site.error = None
    bench.deliver_all()
    assert set(bench.site.held) == {"n1", "s1"}


def test_a_busy_site_is_left_in_peace(bench: Bench) -> None:
    bench.want(NETWORK, SUBNET)
    bench.site.error = errors.Busy("later")
    for _ in range(20):
        bench.delivery.run()
        bench.clock.move(1)
    assert set(bench.states().values()) == {JobState.WAITING}
    bench.site.error = None
    bench.clock.move(60)
    bench.deliver_all()
    assert set(bench.site.held) == {"n1", "s1"}


def test_after_silence_a_small_probe_goes_first() -> None:
    bench = Bench(batch=40)
    bench.want(*ports(40))
    bench.site.error = errors.Unreachable("gone")
    bench.delivery.run()
    bench.site.error = None
    bench.clock.move(1)
    bench.deliver_all()
    assert [len(batch) for batch in bench.site.batches] == [4, 36]


def test_time_outs_halve_the_batch_and_successes_double_it() -> None:
    bench = Bench(batch=16)
    bench.want(*ports(40))

    def too_slow(items: Sequence[Item]) -> None:
        if len(items) > 5:
            raise errors.TimedOut("slow")

    bench.site.before = too_slow
    for _ in range(3):
        bench.delivery.run()
    bench.site.before = None
    bench.deliver_all()
    assert [len(batch) for batch in bench.site.batches] == [4, 8, 16, 12]
    assert not bench.states()


def test_one_slow_object_steps_aside_for_the_others() -> None:
    bench = Bench(batch=4)
    bench.want(*ports(4))

    def too_slow(items: Sequence[Item]) -> None:
        if any(item.id == "p001" for item in items):
            raise errors.TimedOut("slow")

    bench.site.before = too_slow
    bench.deliver_all()
    until = bench.clock.now() + datetime.timedelta(seconds=SLOW_S)
    bench.clock.move(1)
    bench.deliver_all()
    assert set(bench.site.held) == {"p000", "p002", "p003"}
    (job,) = bench.journal.list_jobs()
    assert (job.attempts, job.state, job.not_before) == (0, JobState.WAITING, until)


def test_what_says_at_once_that_it_is_too_slow_is_asked_less_and_less_often(bench: Bench) -> None:
    """A proxy may say so, or a hostile site: its lane went through the backlog without a pause."""
    bench.want(*ports(400))
    bench.site.error = errors.TimedOut("answered 504")
    calls: list[int] = []
    bench.site.before = lambda items: calls.append(len(items))
    for _ in range(60):
        bench.deliver_all()
        bench.clock.move(1)
    assert len(calls) < 30
    bench.site.error = None
    for _ in range(60):
        bench.deliver_all()
        bench.clock.move(1)
    assert not bench.states()


def test_one_object_that_breaks_the_call_steps_aside_and_is_never_parked() -> None:
    bench = Bench(batch=4)
    bench.want(*ports(4))

    def broken(items: Sequence[Item]) -> None:
        if any(item.id == "p001" for item in items):
            raise errors.StepFailed("the site answered 500")

    bench.site.before = broken
    for _ in range(20):
        bench.delivery.run()
        bench.clock.move(1)
    assert set(bench.site.held) == {"p000", "p002", "p003"}
    (job,) = bench.journal.list_jobs()
    assert job.state is JobState.WAITING
    assert job.attempts > 2
    assert job.last_error == "isthmus.broken.step_failed: the site answered 500"


def test_an_open_breaker_parks_nothing_and_closes_again(bench: Bench) -> None:
    bench.want(*ports(20))
    bench.site.error = errors.Refused("the site is disabled")
    calls = 0
    for _ in range(600):  # ten minutes, looked at every second
        calls += bench.delivery.run().claimed > 0
        bench.clock.move(1)
    assert set(bench.states().values()) == {JobState.WAITING}
    assert calls < 150
    bench.site.error = None
    for _ in range(120):
        bench.delivery.run()
        bench.clock.move(1)
    assert len(bench.site.held) == 20


@pytest.mark.parametrize("error", [errors.Invalid("bad mtu"), errors.Inconsistent("two truths")])
def test_a_refused_object_is_parked_with_its_reason(
    bench: Bench, error: errors.IsthmusError
) -> None:
    bench.want(NETWORK, PORT)
    bench.site.refusals["n1"] = error
    done = bench.delivery.run()
    assert (done.taken, done.parked) == (1, 1)
    (job,) = bench.journal.list_jobs()
    assert (job.key, job.state) == (NETWORK, JobState.PARKED)
    assert job.last_error == f"{error.code}: {error.message}"
    bench.clock.move(10_000)
    assert bench.delivery.run().idle
    bench.site.refusals.clear()
    bench.want(NETWORK)
    bench.deliver_all()
    assert "n1" in bench.site.held


@pytest.mark.parametrize(
    "error",
    [errors.NotFound("no net"), errors.InUse("ports"), errors.Conflict("x"), errors.Exists("x")],
)
def test_a_refusal_that_time_may_cure_is_tried_a_few_times_first(
    bench: Bench, error: errors.IsthmusError
) -> None:
    bench.want(PORT)
    bench.site.refusals["p1"] = error
    attempts = 0
    for _ in range(100):
        attempts += bench.delivery.run().claimed
        bench.clock.move(1)
    assert attempts == PATIENCE
    assert bench.states() == {PORT: JobState.PARKED}


def test_an_error_that_nobody_foresaw_is_tried_again_at_once_and_holds_nothing_up(
    bench: Bench,
) -> None:
    bench.want(NETWORK, PORT)
    bench.site.refusals["n1"] = errors.Broken("OperationalError: database is locked")
    assert bench.delivery.run().taken == 1
    (job,) = bench.journal.list_jobs()
    assert (job.key, job.state) == (NETWORK, JobState.WAITING)
    bench.site.refusals.clear()
    bench.clock.move(0.5)
    assert bench.delivery.run().taken == 1
    assert bench.journal.list_jobs() == []
    # One that stays is parked in the end, for a person.
    bench.want(PORT)
    bench.site.refusals["p1"] = errors.Broken("KeyError: x")
    attempts = 0
    for _ in range(100):
        attempts += bench.delivery.run().claimed
        bench.clock.move(1)
    assert attempts == PATIENCE
    assert bench.states() == {PORT: JobState.PARKED}


def test_what_was_not_there_yet_is_taken_when_it_is(bench: Bench) -> None:
    bench.want(PORT)
    bench.site.refusals["p1"] = errors.NotFound("no net")
    bench.delivery.run()
    bench.site.refusals.clear()
    bench.clock.move(1)
    bench.deliver_all()
    assert "p1" in bench.site.held


def test_what_waits_for_removals_does_not_keep_them_away() -> None:
    """Ports that take the addresses of ports which are to go, more of them than a batch takes."""
    bench = Bench(batch=2)
    old = [key(ResourceType.PORT, f"old{number}") for number in range(3)]
    new = [key(ResourceType.PORT, f"new{number}") for number in range(3)]
    bench.site.held = {one.id: {} for one in old}
    bench.site.refusals = {one.id: errors.Conflict("in use") for one in new}

    def free_addresses(_items: Sequence[Item]) -> None:
        for before, after in zip(old, new, strict=True):
            if before.id not in bench.site.held:
                bench.site.refusals.pop(after.id, None)

    bench.site.before = free_addresses
    bench.want(*new)
    bench.drop(*old)
    for _ in range(12):
        bench.clock.move(60)  # so that whatever waits is due
        bench.delivery.run()
    assert bench.states() == {}


def test_removing_what_is_not_there_is_done(bench: Bench) -> None:
    bench.drop(PORT)
    bench.site.refusals["p1"] = errors.NotFound("no port")
    bench.delivery.run()
    assert bench.states() == {}
    assert bench.journal.removed == [PORT]


def test_transient_refusals_are_never_parked_and_back_off(bench: Bench) -> None:
    bench.want(PORT)
    bench.site.refusals["p1"] = errors.Stale("not yet")
    waits = []
    for _ in range(12):
        bench.delivery.run()
        (job,) = bench.journal.list_jobs()
        assert job.state is JobState.WAITING
        assert job.not_before is not None
        waits.append((job.not_before - bench.clock.now()).total_seconds())
        bench.clock.move(waits[-1])
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert job.attempts == 12


def test_an_object_that_the_answer_forgets_is_tried_again(bench: Bench) -> None:
    bench.site.forgets = {"p1"}
    bench.want(NETWORK, PORT)
    done = bench.delivery.run()
    assert (done.taken, done.again) == (1, 1)
    (job,) = bench.journal.list_jobs()
    assert job.key == PORT
    assert "says nothing of port p1" in job.last_error


def test_what_a_busy_site_does_not_reach_is_due_at_once_in_smaller_batches() -> None:
    """It answers within seconds what it has done by then."""
    bench = Bench(batch=16)
    bench.want(*ports(40))
    reached = [16, 3, 3, 16]
    answered: list[int] = []

    def forget(items: Sequence[Item]) -> None:
        most = reached.pop(0) if reached else 16
        bench.site.forgets = {item.id for item in items[most:]}
        answered.append(min(most, len(items)))

    bench.site.before = forget
    bench.deliver_all()
    assert answered == [16, 3, 3, 6, 12]
    assert [len(batch) for batch in bench.site.batches] == [16, 16, 6, 6, 12]
    assert not bench.states()
    assert bench.clock.seconds() == FakeClock().seconds()


def test_an_answer_about_something_else_is_no_reason_to_ask_again_at_once() -> None:
    """Of a broken or hostile site: its lane would spin."""
    items = [Item(one.type, one.id, {}) for one in ports(2)]
    stranger = ItemResult(ResourceType.PORT, "another")
    for results in ([stranger], [stranger, stranger], []):
        found = decide.match_results(items, results)
        assert [one is not None and "unreached" in one.fields for one in found] == [False] * 2
    done = ItemResult(items[0].type, items[0].id)
    found = decide.match_results(items, [stranger, done])
    assert found[0] is None
    assert found[1] is not None
    assert found[1].fields == {"unreached": True}


def test_answers_that_bring_nothing_to_an_end_are_asked_for_less_and_less_often(
    bench: Bench,
) -> None:
    """Of a busy or hostile site, which reaches one object each time, and cannot take it yet."""
    bench.want(*ports(400))
    calls: list[int] = []

    def reach_one(items: Sequence[Item]) -> None:
        calls.append(len(items))
        bench.site.forgets = {item.id for item in items[1:]}
        bench.site.refusals = {items[0].id: errors.Busy("later")}

    bench.site.before = reach_one
    for _ in range(60):
        bench.deliver_all()
        bench.clock.move(1)
    assert len(calls) < 30
    bench.site.before, bench.site.forgets, bench.site.refusals = None, set(), {}
    for _ in range(60):
        bench.deliver_all()
        bench.clock.move(1)
    assert not bench.states()


def test_an_object_that_takes_a_site_long_goes_on_without_an_attempt_and_stops_nobody() -> None:
    bench = Bench(batch=4)
    bench.want(*ports(12))
    parts = 40

    def work(items: Sequence[Item]) -> None:
        nonlocal parts
        bench.site.forgets, bench.site.refusals = set(), {}
        if items[0].id == "p000" and parts:
            parts -= 1
            bench.clock.move(5)
            bench.site.forgets = {item.id for item in items[1:]}
            bench.site.refusals = {"p000": errors.Unfinished("160 subports have yet to come")}

    bench.site.before = work
    bench.delivery.run()
    (job,) = (one for one in bench.journal.list_jobs() if one.key.id == "p000")
    assert (job.attempts, job.last_error) == (
        0,
        "isthmus.transient.unfinished: 160 subports have yet to come",
    )
    bench.deliver_all()  # all others, at once
    assert {one.id for one in bench.states()} == {"p000"}
    assert parts == 39
    calls = len(bench.site.batches)
    while bench.states():
        bench.deliver_all()
        bench.clock.move(0.5)
    assert len(bench.site.batches) - calls == 40


def test_a_site_that_finishes_nothing_at_once_is_asked_less_and_less_often(bench: Bench) -> None:
    """Of a hostile one, which has done nothing for what it calls unfinished."""
    bench.want(*ports(400))
    calls: list[int] = []

    def reach_one(items: Sequence[Item]) -> None:
        calls.append(len(items))
        bench.site.forgets = {item.id for item in items[1:]}
        bench.site.refusals = {items[0].id: errors.Unfinished("later")}

    bench.site.before = reach_one
    for _ in range(60):
        bench.deliver_all()
        bench.clock.move(1)
    assert len(calls) < 30


def test_central_that_does_not_answer_leaves_everything_due(bench: Bench) -> None:
    bench.want(NETWORK, PORT)
    bench.world.error = errors.Unreachable("central is away")
    done = bench.delivery.run()
    assert done.failed_side is Side.SOURCE
    assert bench.site.batches == []
    bench.world.error = None
    bench.clock.move(1)
    bench.deliver_all()
    assert set(bench.site.held) == {"n1", "p1"}


def test_the_claim_of_a_worker_that_died_passes_to_the_next(bench: Bench) -> None:
    bench.want(NETWORK)

    def die(_: Sequence[Item]) -> None:
        raise SystemExit

    bench.site.before = die
    with pytest.raises(SystemExit):
        bench.delivery.run()
    bench.site.before = None
    heir = Delivery(
        LANE,
        store=bench.journal,
        source=bench.world,
        carrier=bench.site,
        clock=bench.clock,
        settings=DeliverySettings(owner="b", claim_s=60),
    )
    assert heir.run().idle, "the claim still holds"
    bench.clock.move(60)
    assert heir.run().taken == 1
