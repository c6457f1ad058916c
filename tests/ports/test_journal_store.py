"""One contract for the journal, wherever its rows stand: memory, SQLite, MariaDB."""

import datetime
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
import sqlalchemy as sa
from tests.ports.database_clock import drive
from tests.ports.journal_rows import list_jobs

from isthmus import errors
from isthmus.journal.protocols import Store
from isthmus.model.intent import Batch, Claim, IntentKey, Job, JobState, Outcome, Settlement
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.store.delivery import claiming, journal
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql.engine import again_when_busy, open_engine, reading, writing
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import site
from isthmus.testing.clock import FakeClock
from isthmus.testing.journal import MemoryJournal

ONE, TWO = SiteName("site1"), SiteName("site2")
NETWORK = IntentKey(ONE, ResourceType.NETWORK, "n1")
PORT = IntentKey(ONE, ResourceType.PORT, "p1")
PORT_AT_TWO = IntentKey(TWO, ResourceType.PORT, "p1")
T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables


def at(seconds: float) -> datetime.datetime:
    return T0 + datetime.timedelta(seconds=seconds)


J = TypeVar("J", bound="Journal")


def when(store: J, seconds: float) -> J:
    """Set the clock by which the store goes: in SQL, the database's own."""
    store.clock.set(at(seconds))
    return store


class Journal(Store, Protocol):
    clock: FakeClock

    def record(self, keys: Iterable[IntentKey]) -> None: ...

    def due_lanes(self) -> set[SiteName]: ...

    def list_jobs(self) -> list[Job]: ...

    @property
    def removed(self) -> list[IntentKey]: ...


class InSql(SqlJournal):
    """The journal in SQL with the same extra verbs as the fake."""

    def __init__(self, engine: sa.Engine, clock: FakeClock) -> None:
        self.held: list[IntentKey] = []
        self.removed: list[IntentKey] = []
        self.clock = clock
        drive(engine, clock)
        self.engine = engine
        super().__init__(engine, lock=self.lock_objects, forget=self.forget_objects)

    def lock_objects(self, _connection: sa.Connection, keys: Iterable[IntentKey]) -> None:
        self.held.extend(keys)

    def forget_objects(self, _connection: sa.Connection, keys: Iterable[IntentKey]) -> None:
        assert set(keys) <= set(self.held), "what is forgotten was held first"
        self.removed.extend(keys)

    @again_when_busy  # Neutron's API does so with a request whose transaction collided
    def record(self, keys: Iterable[IntentKey]) -> None:
        with writing(self.engine) as connection:
            journal.record(connection, keys)

    def list_jobs(self) -> list[Job]:
        with reading(self.engine) as connection:
            return list_jobs(connection)


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("mariadb", marks=pytest.mark.db)],
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal(FakeClock())
        return
    url = (
        f"sqlite:///{tmp_path / 'journal.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("mariadb_url")
    )
    engine = open_engine(url)
    METADATA.create_all(engine)
    made = InSql(engine, FakeClock())
    make_sites(engine)
    yield made
    METADATA.drop_all(engine)
    engine.dispose()


def make_sites(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        for name in (ONE, TWO):
            one = Site(
                name=name, region=name, availability_zones=(name,), service_user=f"isthmus-{name}"
            )
            site.insert(connection, one, now=T0)


def claim(
    store: Journal,
    now: float = 0,
    *,
    lane: SiteName = ONE,
    owner: str = "a",
    limit: int = 10,
    holds: float = 60,
) -> Batch:
    return when(store, now).claim(lane, owner=owner, claim_s=holds, limit=limit)


def keys(batch: Batch) -> list[IntentKey]:
    return [one.key for one in batch.claims]


def the_job(store: Journal, now: float = 0) -> Job:
    (job,) = when(store, now).list_jobs()
    return job


def done(claim: Claim, *, absent: bool = False) -> Settlement:
    return Settlement(claim=claim, outcome=Outcome.DONE, absent=absent)


def again(claim: Claim, *, delay_s: float = 0, **more: object) -> Settlement:
    return Settlement(
        claim=claim,
        outcome=Outcome.AGAIN,
        delay_s=delay_s,
        **more,  # type: ignore[arg-type]
    )


def test_recording_twice_makes_one_row_of_a_higher_generation(store: Journal) -> None:
    when(store, 0).record([PORT])
    before = the_job(store)
    when(store, 5).record([PORT, PORT])
    after = the_job(store, 5)
    assert (before.generation, after.generation) == (1, 2)
    assert after.id == before.id
    assert (after.created_at, after.changed_at, after.not_before) == (at(0), at(5), None)


def test_the_clock_of_the_machine_that_records_decides_nothing(store: Journal) -> None:
    """Here it is months or years away from the database's, either way."""
    for moment in (T0 - datetime.timedelta(days=4000), T0 + datetime.timedelta(days=4000)):
        store.clock.set(moment)
        store.record([PORT])
        (held,) = store.claim(ONE, owner="a", claim_s=60, limit=1).claims
        assert not store.claim(ONE, owner="b", claim_s=60, limit=1).claims
        store.clock.move(-3600)
        store.settle([again(held)])
        assert keys(store.claim(ONE, owner="b", claim_s=60, limit=1)) == [PORT], "due at once"
        store.settle([done(held)])


def test_what_was_recorded_first_goes_first_within_a_rank(store: Journal) -> None:
    order = ["p3", "p1", "p2"]
    for second, name in enumerate(order):
        when(store, second).record([IntentKey(ONE, ResourceType.PORT, name)])
    (first,) = claim(store, 5, limit=1).claims
    when(store, 5).settle([again(first, delay_s=1)])
    carried = [one.key.id for _ in order for one in claim(store, 10, limit=1).claims]
    assert carried == ["p1", "p2", "p3"], "one that waited for another attempt comes after"


def test_claims_come_in_the_order_of_making_and_only_of_the_lane(store: Journal) -> None:
    when(store, 0).record([PORT, PORT_AT_TWO, NETWORK])
    assert keys(claim(store)) == [NETWORK, PORT]


def test_a_limit_takes_what_is_made_first(store: Journal) -> None:
    when(store, 0).record([PORT, NETWORK])
    assert keys(claim(store, limit=1)) == [NETWORK]
    assert keys(claim(store, limit=1)) == [PORT]


def test_batches_of_a_lane_are_numbered_upwards(store: Journal) -> None:
    when(store, 0).record([PORT, NETWORK])
    first, second = claim(store, limit=1), claim(store, limit=1)
    assert 0 < first.sequence < second.sequence


def test_a_lane_is_carried_by_one_owner_at_a_time(store: Journal) -> None:
    when(store, 0).record([PORT, NETWORK])
    assert keys(claim(store, limit=1, owner="a")) == [NETWORK]
    assert claim(store, owner="b") == Batch()
    assert the_job_states(store, 0) == {NETWORK: JobState.RUNNING, PORT: JobState.WAITING}


def the_job_states(store: Journal, now: float) -> dict[IntentKey, JobState]:
    return {job.key: job.state for job in when(store, now).list_jobs()}


def test_an_expired_claim_is_anybodys(store: Journal) -> None:
    when(store, 0).record([PORT])
    (old,) = claim(store, owner="a", holds=60).claims
    assert claim(store, 59, owner="b") == Batch()
    assert the_job(store, 60).state is JobState.WAITING
    (new,) = claim(store, 60, owner="b").claims
    assert new.generation == old.generation
    when(store, 61).settle([again(old, delay_s=1000)])
    assert the_job(store, 61).state is JobState.RUNNING, "the old owner has no say any more"
    when(store, 61).settle([done(old)])
    assert when(store, 61).list_jobs() == [], "but what it carried was carried"


def test_a_claim_is_extended_by_who_has_it(store: Journal) -> None:
    if not isinstance(store, InSql):
        pytest.skip("whoever has a database beside it extends claims")
    store.record([PORT, NETWORK, PORT_AT_TWO])
    claim(store, owner="a", holds=60, limit=1)
    claim(store, owner="a", holds=60, lane=TWO)
    when(store, 50).extend(ONE, owner="b", claim_s=1000)
    when(store, 50).extend(ONE, owner="a", claim_s=60)
    assert claim(store, 109, owner="b") == Batch()
    assert keys(claim(store, 109, owner="b", lane=TWO)) == [PORT_AT_TWO]
    assert keys(claim(store, 110, owner="b")) == [NETWORK, PORT]
    when(store, 110).extend(ONE, owner="a", claim_s=1000)
    assert keys(claim(store, 170, owner="c")) == [NETWORK, PORT]


def test_acknowledged_rows_go(store: Journal) -> None:
    when(store, 0).record([PORT, NETWORK])
    batch = claim(store)
    when(store, 1).settle([done(one, absent=one.key == PORT) for one in batch.claims])
    assert when(store, 1).list_jobs() == []
    assert store.removed == [PORT]


def test_a_change_during_delivery_stays_due(store: Journal) -> None:
    when(store, 0).record([PORT])
    (held,) = claim(store).claims
    when(store, 1).record([PORT])
    assert the_job(store, 1).state is JobState.RUNNING, "a change leaves the claim alone"
    assert claim(store, 1, owner="b") == Batch()
    when(store, 2).settle([done(held, absent=True)])
    assert store.removed == []
    assert keys(claim(store, 2, owner="b")) == [PORT]


def test_a_change_during_delivery_undoes_a_refusal(store: Journal) -> None:
    when(store, 0).record([PORT])
    (held,) = claim(store).claims
    when(store, 1).record([PORT])
    refusal = Settlement(claim=held, outcome=Outcome.PARKED, error="no")
    when(store, 2).settle([refusal])
    job = the_job(store, 2)
    assert (job.state, job.attempts, job.last_error) == (JobState.WAITING, 0, "")
    assert keys(claim(store, 2)) == [PORT]


def test_a_row_that_came_back_is_not_the_row_that_was_claimed(store: Journal) -> None:
    when(store, 0).record([PORT])
    (late,) = claim(store, owner="a", holds=10).claims
    (prompt,) = claim(store, 10, owner="b").claims
    when(store, 11).settle([done(prompt)])
    when(store, 12).record([PORT])
    assert the_job(store, 12).generation == late.generation
    when(store, 13).settle([done(late)])
    assert keys(claim(store, 13, owner="b")) == [PORT], "the change of second 12 is not lost"


def test_again_waits_and_counts_as_told(store: Journal) -> None:
    when(store, 0).record([PORT])
    (held,) = claim(store).claims
    when(store, 1).settle([again(held, delay_s=29, counts=True, error="busy")])
    job = the_job(store, 1)
    assert (job.state, job.attempts, job.last_error) == (JobState.WAITING, 1, "busy")
    assert claim(store, 29) == Batch()
    assert when(store, 29).due_lanes() == set()
    (held,) = claim(store, 30).claims
    assert held.attempts == 1
    when(store, 31).settle([again(held)])
    assert the_job(store, 31).attempts == 1
    assert keys(claim(store, 31)) == [PORT]


def test_parked_rows_wait_for_a_change(store: Journal) -> None:
    when(store, 0).record([PORT])
    (held,) = claim(store).claims
    when(store, 1).settle([Settlement(claim=held, outcome=Outcome.PARKED, error="no")])
    job = the_job(store, 1)
    assert (job.state, job.attempts, job.last_error) == (JobState.PARKED, 1, "no")
    assert claim(store, 1000) == Batch()
    when(store, 1001).record([PORT])
    job = the_job(store, 1001)
    assert (job.state, job.attempts, job.last_error) == (JobState.WAITING, 0, "")
    assert keys(claim(store, 1001)) == [PORT]


def test_a_removal_put_after_goes_behind_everything_to_be_made(store: Journal) -> None:
    subnet = IntentKey(ONE, ResourceType.SUBNET, "s1")
    when(store, 0).record([NETWORK, subnet])
    batch = claim(store, limit=2)
    when(store, 0).settle([again(one, after=True) for one in batch.claims])
    when(store, 1).record([PORT])
    assert keys(claim(store, 1)) == [PORT, subnet, NETWORK]


def test_a_change_brings_a_removal_back_to_its_place(store: Journal) -> None:
    when(store, 0).record([NETWORK])
    when(store, 0).settle([again(claim(store).claims[0], after=True)])
    when(store, 1).record([NETWORK, PORT])
    assert keys(claim(store, 1)) == [NETWORK, PORT]


def test_what_a_call_in_progress_changes_is_claimed_when_it_has_ended(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    METADATA.create_all(engine)
    open_ids = ["p1"]
    store = SqlJournal(engine, list_deferred=lambda: open_ids)
    store.note([PORT, NETWORK])
    assert keys(store.claim(ONE, owner="a", claim_s=60, limit=10)) == [NETWORK]
    open_ids.clear()
    assert keys(store.claim(ONE, owner="a", claim_s=60, limit=10)) == [PORT]
    engine.dispose()


def test_lanes_with_work_are_found(store: Journal) -> None:
    assert when(store, 0).due_lanes() == set()
    when(store, 0).record([PORT, PORT_AT_TWO])
    assert when(store, 0).due_lanes() == {ONE, TWO}
    claim(store)
    assert when(store, 1).due_lanes() == {TWO}
    assert when(store, 60).due_lanes() == {ONE, TWO}


def test_many_rows_at_once(store: Journal) -> None:
    many = [IntentKey(ONE, ResourceType.PORT, f"p{number}") for number in range(1200)]
    when(store, 0).record(many)
    when(store, 1).record(many[:600])
    found = when(store, 1).list_jobs()
    assert sorted(job.generation for job in found) == [1] * 600 + [2] * 600
    assert len(claim(store, 1, limit=2000).claims) == 1200


@pytest.mark.parametrize("calls", [3, 9])
def test_a_collision_is_tried_again_and_a_busy_database_given_up(
    tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    METADATA.create_all(engine)
    store = InSql(engine, FakeClock())
    when(store, 0).record([PORT])
    real, collisions = claiming.claim, iter(range(calls))

    def colliding(*arguments: Any, **options: Any) -> Batch:
        if next(collisions, None) is not None:
            cause = Exception(1020, "Record has changed since last read in table 'x'")
            raise sa.exc.OperationalError("UPDATE", {}, cause)
        return real(*arguments, **options)

    monkeypatch.setattr(claiming, "claim", colliding)
    if calls < 5:
        assert keys(claim(store)) == [PORT]
    else:
        with pytest.raises(errors.Busy, match="1020"):
            claim(store)
    monkeypatch.undo()
    assert len(when(store, 0).list_jobs()) == 1
    engine.dispose()


@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("mariadb", marks=pytest.mark.db)], indirect=True
)
def test_two_workers_and_a_writer_never_hold_the_same_row(store: Journal) -> None:
    """Threads race for one lane; each row is in one hand at a time and none is lost."""
    wanted = [IntentKey(ONE, ResourceType.PORT, f"p{number}") for number in range(60)]
    when(store, 0).record(wanted[:30])
    held: set[IntentKey] = set()
    carried: list[IntentKey] = []
    faults: list[object] = []
    lock = threading.Lock()
    written = threading.Event()

    def work(owner: str) -> None:
        while True:
            finished = written.is_set()
            batch = claim(store, owner=owner, limit=7)
            with lock:
                faults.extend(held.intersection(keys(batch)))
                held.update(keys(batch))
            with lock:
                held.difference_update(keys(batch))
                carried.extend(keys(batch))
            when(store, 0).settle([done(one) for one in batch.claims])
            if finished and not when(store, 0).list_jobs():
                return

    def write() -> None:
        for key in wanted[30:]:
            when(store, 0).record([key])
        written.set()

    run_together([lambda: work("a"), lambda: work("b"), write], faults)
    assert faults == []
    assert set(carried) == set(wanted)
    assert when(store, 0).list_jobs() == []


def run_together(jobs: list[Callable[[], None]], faults: list[object]) -> None:
    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - given to the test's own thread
            faults.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
