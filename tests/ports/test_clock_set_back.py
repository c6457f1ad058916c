"""A database's clock was ahead and is set back: nothing waits until it is there again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.ports.database_clock import drive, follow

from isthmus.model.intent import IntentKey, Outcome, Settlement
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import claiming, journal
from isthmus.store.delivery import job as job_store
from isthmus.store.leases import lease as both
from isthmus.store.leases import returns
from isthmus.store.local import lease
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import METADATA
from isthmus.testing.clock import FakeClock

ONE, TWO = SiteName("site1"), SiteName("site2")
JUMPS = [pytest.param(3600.0, id="an hour"), pytest.param(86400.0, id="a day")]
CLOCK = FakeClock()
CLAIM_S = 60.0


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'tier.db'}")
    else:
        engine = open_engine(request.getfixturevalue("mariadb_url"))
    drive(engine, CLOCK)
    METADATA.create_all(engine)
    with engine.connect() as opened, opened.begin():
        yield opened
    METADATA.drop_all(engine)
    engine.dispose()


def move(connection: sa.Connection, seconds: float) -> None:
    CLOCK.move(seconds)
    follow(connection, CLOCK)


def port(name: str, lane: SiteName = ONE) -> IntentKey:
    return IntentKey(lane, ResourceType.PORT, name)


def claim(connection: sa.Connection, owner: str, lane: SiteName = ONE) -> list[str]:
    batch = claiming.claim(connection, lane, owner=owner, claim_s=CLAIM_S, limit=10)
    return [one.key.id for one in batch.claims]


@pytest.mark.parametrize("jump_s", JUMPS)
def test_an_attempt_is_not_put_off_by_it(connection: sa.Connection, jump_s: float) -> None:
    journal.record(connection, [port("p1"), port("p2"), port("p3", TWO)])
    for lane in (ONE, TWO):
        batch = claiming.claim(connection, lane, owner="me", claim_s=CLAIM_S, limit=10)
        again = [
            Settlement(claim=one, outcome=Outcome.AGAIN, delay_s=30.0, error="later")
            for one in batch.claims
        ]
        claiming.settle(connection, again)
    assert job_store.correct_times(connection, claim_s=CLAIM_S) == 0, (
        "a delay as it should be stays"
    )
    assert not claiming.is_due(connection, ONE)
    move(connection, -jump_s)
    journal.record(connection, [port("p4")])
    assert claim(connection, "me") == ["p4"]
    assert job_store.correct_times(connection, claim_s=CLAIM_S) == 3
    assert claiming.is_due(connection, TWO)
    assert claim(connection, "me") == ["p1", "p2"]
    assert job_store.correct_times(connection, claim_s=CLAIM_S) == 0


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_dead_workers_claims_hold_no_lane_until_then(
    connection: sa.Connection, jump_s: float
) -> None:
    journal.record(connection, [port("p1"), port("p2")])
    assert claim(connection, "dead") == ["p1", "p2"]
    assert job_store.correct_times(connection, claim_s=CLAIM_S) == 0
    move(connection, -jump_s)
    journal.record(connection, [port("p3")])
    move(connection, CLAIM_S + 1)
    assert claim(connection, "alive") == [], "the lane is still taken for held"
    assert job_store.correct_times(connection, claim_s=CLAIM_S) == 2
    assert claim(connection, "alive") == ["p1", "p2", "p3"]


def test_what_is_parked_stays_parked(connection: sa.Connection) -> None:
    journal.record(connection, [port("p1")])
    batch = claiming.claim(connection, ONE, owner="me", claim_s=CLAIM_S, limit=10)
    claiming.settle(
        connection, [Settlement(claim=batch.claims[0], outcome=Outcome.PARKED, error="no")]
    )
    move(connection, -3600.0)
    assert job_store.correct_times(connection, claim_s=CLAIM_S) == 0
    assert claim(connection, "me") == []


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_lease_is_not_young_until_then(connection: sa.Connection, jump_s: float) -> None:
    one = Lease(
        id=LeaseId("11111111-1111-1111-1111-111111111111"),
        kind=PoolKind.SUBNET,
        pool_id="p",
        site=ONE,
        block=Block(0, 9),
    )
    lease.add(connection, ONE, [both.to_state(one)])
    assert lease.read_leases(connection, PoolKind.SUBNET, "p", older_s=60) == []
    move(connection, -jump_s)
    assert lease.read_leases(connection, PoolKind.SUBNET, "p", older_s=60) == [
        (one.id, Block(0, 9))
    ]
    move(connection, jump_s)
    lease.set_aside(connection, "p", [one.id])
    assert returns.list_unacknowledged(connection, "p", older_s=60) == []
    move(connection, -jump_s)
    assert len(returns.list_unacknowledged(connection, "p", older_s=60)) == 1
