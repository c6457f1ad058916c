"""Jobs, sweeps and batch numbers, on SQLite and on MariaDB."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.ports.database_clock import drive, follow
from tests.ports.journal_rows import list_jobs

from isthmus import errors
from isthmus.model import number as numbers
from isthmus.model.intent import IntentKey, JobState, Outcome, Settlement
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, Site, SiteName
from isthmus.store.delivery import claiming, journal, sweep
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import lane as lane_store
from isthmus.store.leases import holding
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import JOURNAL, LANES, LOCATIONS, METADATA, SITE_MAPPINGS
from isthmus.store.tiers import epoch, excess, site
from isthmus.testing.clock import FakeClock

ONE, TWO = SiteName("site1"), SiteName("site2")
T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables


def at(seconds: float) -> datetime.datetime:
    return T0 + datetime.timedelta(seconds=seconds)


#: The database's clock.
CLOCK = FakeClock()


def when(connection: sa.Connection, seconds: float) -> sa.Connection:
    """Set the database's clock."""
    CLOCK.set(at(seconds))
    follow(connection, CLOCK)
    return connection


def port(number: int, lane: SiteName = ONE) -> IntentKey:
    return IntentKey(lane, ResourceType.PORT, f"p{number}")


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    url = (
        f"sqlite:///{tmp_path / 'job_store.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("mariadb_url")
    )
    made = open_engine(url)
    drive(made, CLOCK)
    METADATA.create_all(made)
    yield made
    METADATA.drop_all(made)
    made.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with writing(engine) as opened:
        yield opened


def make_site(connection: sa.Connection, name: SiteName) -> None:
    one = Site(name=name, region=name, availability_zones=(name,), service_user=f"isthmus-{name}")
    site.insert(connection, one, now=at(0))


def states(connection: sa.Connection) -> dict[str, JobState]:
    return {f"{job.key.lane}/{job.key.id}": job.state for job in list_jobs(when(connection, 10))}


def ids(connection: sa.Connection, *keys: IntentKey) -> list[str]:
    return [job.id for job in list_jobs(connection) if job.key in keys]


@pytest.fixture
def three(connection: sa.Connection) -> sa.Connection:
    """p1 is parked, p2 runs, p3 waits, all at site1; p1 waits at site2."""
    journal.record(when(connection, 0), [port(1), port(2)])
    batch = claiming.claim(when(connection, 0), ONE, owner="a", claim_s=60, limit=10)
    refusal = Settlement(claim=batch.claims[0], outcome=Outcome.PARKED, error="no")
    claiming.settle(when(connection, 1), [refusal])
    journal.record(when(connection, 2), [port(3)])
    journal.record(when(connection, 3), [port(1, TWO)])
    return connection


def test_every_state_shows(three: sa.Connection) -> None:
    assert states(three) == {
        "site1/p1": JobState.PARKED,
        "site1/p2": JobState.RUNNING,
        "site1/p3": JobState.WAITING,
        "site2/p1": JobState.WAITING,
    }


def test_lanes_are_counted(three: sa.Connection) -> None:
    for name in (ONE, TWO, SiteName("site3")):
        make_site(three, name)
    assert job_store.count_lanes(three, [TWO]).keys() == {TWO}
    assert job_store.count_lanes(three) == {
        ONE: job_store.LaneCounts(backlog=2, parked=1, oldest_at=at(0)),
        TWO: job_store.LaneCounts(backlog=1, parked=0, oldest_at=at(3)),
    }


def test_retry_brings_parked_ones_back_and_leaves_running_ones(three: sa.Connection) -> None:
    chosen = ids(three, port(1), port(2))
    assert job_store.retry_now(when(three, 5), chosen) == 1
    assert states(three) == {
        "site1/p1": JobState.WAITING,
        "site1/p2": JobState.RUNNING,
        "site1/p3": JobState.WAITING,
        "site2/p1": JobState.WAITING,
    }


def test_cancel_drops_even_a_running_one_whose_worker_then_finds_nothing(
    connection: sa.Connection,
) -> None:
    journal.record(when(connection, 0), [port(1)])
    batch = claiming.claim(when(connection, 0), ONE, owner="a", claim_s=60, limit=10)
    assert job_store.cancel(when(connection, 1), ids(connection, port(1))) == 1
    claiming.settle(when(connection, 2), [Settlement(claim=batch.claims[0], outcome=Outcome.DONE)])
    assert states(connection) == {}


def test_rows_selected_in_the_database_are_recorded_like_any(connection: sa.Connection) -> None:
    for number in (1, 2):
        connection.execute(
            sa.insert(LOCATIONS).values(port_id=f"p{number}", network_id="n", site="site2")
        )
    journal.record(when(connection, 0), [port(1)])
    selection = sa.select(sa.literal("site1"), LOCATIONS.c.port_id)
    journal.record_selected(when(connection, 1), ResourceType.PORT, selection)
    found = list_jobs(when(connection, 1))
    assert {(job.key, job.generation) for job in found} == {(port(1), 2), (port(2), 1)}
    assert len({job.id for job in found}) == 2
    assert all(len(job.id) == 36 for job in found)
    assert {row.rank for row in connection.execute(sa.select(JOURNAL))} == {ResourceType.PORT.rank}


def test_an_empty_selection_records_nothing(connection: sa.Connection) -> None:
    selection = sa.select(LOCATIONS.c.site, LOCATIONS.c.port_id)
    journal.record_selected(when(connection, 0), ResourceType.SHADOW, selection)
    assert list_jobs(when(connection, 0)) == []


def test_intents_of_deleted_sites_are_swept(connection: sa.Connection) -> None:
    make_site(connection, ONE)
    journal.record(when(connection, 0), [port(1), port(1, TWO)])
    for lane in (ONE, TWO):
        lane_store.next_sequence(connection, lane)
    assert sweep.drop_orphans(connection) == 1
    assert states(connection) == {"site1/p1": JobState.WAITING}
    assert [row.lane for row in connection.execute(sa.select(LANES))] == [ONE]


def test_what_a_site_should_hold_comes_page_by_page(connection: sa.Connection) -> None:
    for kind, resource, lane in (
        ("network", "n1", "site1"),
        ("port", "p1", "site1"),
        ("network", "n2", "site2"),
    ):
        connection.execute(
            sa.insert(SITE_MAPPINGS).values(
                type=kind,
                resource_id=resource,
                site=lane,
                id=f"{kind}-{resource}",
                withdrawn=False,
                created_at=at(0),
            )
        )
    for name, network, home in (
        ("p1", "n1", "site1"),
        ("p2", "n1", "site2"),
        ("p3", "n2", "site1"),
        ("p4", "n1", "site2"),
    ):
        connection.execute(sa.insert(LOCATIONS).values(port_id=name, network_id=network, site=home))

    def wanted(kind: ResourceType, after: str = "", limit: int = 10) -> list[str]:
        return holding.list_wanted(connection, ONE, kind, after, limit)

    assert wanted(ResourceType.NETWORK) == ["n1"]
    assert wanted(ResourceType.PORT) == ["p1"]
    # Not p1, which lives here, nor p3, whose network is not here.
    assert wanted(ResourceType.SHADOW) == ["p2", "p4"]
    assert wanted(ResourceType.SHADOW, limit=1) == ["p2"]
    assert wanted(ResourceType.SHADOW, after="p2") == ["p4"]
    assert holding.list_held(connection, ResourceType.NETWORK, "", "") == ["n1", "n2"]
    assert holding.list_held(connection, ResourceType.NETWORK, "", "n1") == ["n1"]
    assert holding.list_held(connection, ResourceType.NETWORK, "n1", "") == ["n2"]


def test_batches_are_admitted_upwards_only(connection: sa.Connection) -> None:
    lane_store.admit(connection, ONE, 5)
    lane_store.admit(connection, ONE, 5)
    lane_store.admit(connection, ONE, 7)
    lane_store.admit(connection, TWO, 1)
    with pytest.raises(errors.Stale, match=r"batch 0\.6 from site1 is late: 0\.7") as caught:
        lane_store.admit(connection, ONE, 6)
    assert caught.value.fields["seen"] == 7


def test_batch_numbers_grow(connection: sa.Connection) -> None:
    given = [lane_store.next_sequence(connection, ONE) for _ in range(5)]
    assert given == sorted(set(given))
    assert {numbers.epoch_of(one) for one in given} == {lane_store.FIRST_EPOCH}


def test_a_later_epoch_comes_after_whatever_an_earlier_one_sent(connection: sa.Connection) -> None:
    lane_store.admit(connection, ONE, numbers.make(1, 500_000))
    lane_store.admit(connection, ONE, numbers.make(2, 1))
    with pytest.raises(errors.Stale):
        lane_store.admit(connection, ONE, numbers.make(1, 500_001))


@pytest.mark.parametrize(
    "wrong",
    [-1, 2**62, 2**70, numbers.make(1 + 2 * numbers.MOST_EPOCHS_AHEAD), numbers.make(2**22 - 1, 5)],
)
def test_a_number_that_cannot_be_silences_nobody(connection: sa.Connection, wrong: int) -> None:
    lane_store.admit(connection, ONE, numbers.make(1, 1))
    with pytest.raises(errors.Invalid):
        lane_store.admit(connection, ONE, wrong)
    lane_store.admit(connection, ONE, numbers.make(1, 2))


def test_the_sender_goes_on_above_a_number_that_was_wrong(connection: sa.Connection) -> None:
    """The receiver and the sender stand in one database here; their columns differ."""
    lane_store.admit(connection, ONE, lane_store.next_sequence(connection, ONE))
    lane_store.admit(connection, ONE, numbers.make(1, 2**40 - 9))
    with pytest.raises(errors.Stale) as caught:
        lane_store.admit(connection, ONE, lane_store.next_sequence(connection, ONE))
    assert lane_store.go_on_above(connection, ONE, int(str(caught.value.fields["seen"])))
    assert not lane_store.go_on_above(connection, ONE, 5), "it never goes back"
    lane_store.admit(connection, ONE, lane_store.next_sequence(connection, ONE))


@pytest.mark.parametrize("epoch_number", [2, numbers.MOST_EPOCHS_AHEAD])
def test_an_old_incarnation_does_not_get_past_the_new_one(
    connection: sa.Connection, epoch_number: int
) -> None:
    """It is shut out until it has begun an epoch of its own, and then goes on by itself."""
    lane_store.admit(connection, ONE, numbers.make(epoch_number, 7))
    with pytest.raises(errors.Stale) as caught:
        lane_store.admit(connection, ONE, lane_store.next_sequence(connection, ONE))
    assert not lane_store.go_on_above(connection, ONE, int(str(caught.value.fields["seen"])))
    with pytest.raises(errors.Stale):
        lane_store.admit(connection, ONE, lane_store.next_sequence(connection, ONE))
    epoch.begin(connection, "restored", above=epoch_number)
    lane_store.admit(connection, ONE, lane_store.next_sequence(connection, ONE))


def test_a_site_does_not_hide_that_its_database_is_old(connection: sa.Connection) -> None:
    """What central has seen of it is compared with what it sent, when it says hello."""
    sent = lane_store.next_sequence(connection, CENTRAL)
    assert not lane_store.go_on_above(connection, CENTRAL, sent + 5)
    assert lane_store.peek(connection, CENTRAL)[0] == sent


def test_what_a_site_is_not_to_have_fills_no_journal(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names ids of nothing, others each time; what is left out the digests find."""
    monkeypatch.setattr(excess, "MOST_NOTED", 5)
    kind = ResourceType.SECURITY_GROUP
    for time in range(4):
        named = {kind: [f"{time}-{one}" for one in range(3)], ResourceType.SHADOW: [f"s{time}"]}
        for _ in range(2):
            excess.record(connection, ONE, named, forgot=time == 1)
    query = sa.select(JOURNAL.c.resource_id).where(JOURNAL.c.lane == ONE)
    noted = set(connection.scalars(query))
    assert noted == {"0-0", "0-1", "0-2", "s0", "1-0"}
    # One that is noted is noted once more, full or not.
    of_it = sa.select(JOURNAL.c.generation).where(JOURNAL.c.resource_id == "0-1")
    before = connection.scalar(of_it)
    excess.record(connection, ONE, {kind: ["0-1"]}, forgot=False)
    assert (connection.scalar(of_it) or 0) > (before or 0)


@pytest.mark.parametrize("wrong", [-1, 2**62 - 1, 2**70])
def test_what_nobody_can_have_seen_is_not_believed(connection: sa.Connection, wrong: int) -> None:
    with pytest.raises(errors.ProtocolError):
        lane_store.go_on_above(connection, ONE, wrong)


def test_a_database_that_is_away_is_unreachable(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    with pytest.raises(errors.Unreachable, match="the database does not answer"), reading(engine):
        pass


def test_only_known_databases_are_opened() -> None:
    with pytest.raises(errors.Invalid, match="postgresql"):
        open_engine("postgresql://localhost/x")
    with pytest.raises(errors.Invalid, match="not a database URL"):
        open_engine("no url")
