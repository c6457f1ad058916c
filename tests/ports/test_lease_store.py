"""Blocks, spare numbers and what rests, on SQLite and on MariaDB at its default level."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block, Lease, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import journal
from isthmus.store.leases import lease, pool, resting, spare
from isthmus.store.sql import isolation
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import LEASES, METADATA
from isthmus.store.tiers.latest import Latest

ONE, TWO = SiteName("site1"), SiteName("site2")
T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables
SUBNET = PoolKind.SUBNET


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database with our tables, as Neutron opens it: at its default level."""
    if request.param == "sqlite":
        opened = open_engine(f"sqlite:///{tmp_path / 'central.db'}")
    else:
        opened = sa.create_engine(request.getfixturevalue("mariadb_url"))
    METADATA.create_all(opened)
    yield opened
    METADATA.drop_all(opened)
    opened.dispose()


def put(connection: sa.Connection, site: SiteName, first: int, last: int) -> Lease:
    return lease.insert(connection, SUBNET, "p", site, Block(first, last), now=T0)


def test_what_is_latest_comes_of_a_locking_read_alone() -> None:
    with pytest.raises(AssertionError, match="locking read"):
        Latest([1], object())


@pytest.mark.parametrize("other", [(10, 20), (5, 10), (20, 25), (5, 25), (12, 13)])
def test_blocks_that_overlap_are_refused(engine: sa.Engine, other: tuple[int, int]) -> None:
    with engine.begin() as connection:
        put(connection, ONE, 10, 20)
    with pytest.raises((errors.Busy, sa.exc.IntegrityError)), engine.begin() as connection:
        put(connection, TWO, *other)
    with engine.begin() as connection:
        assert [one.site for one in lease.read_latest(connection, SUBNET, "p")] == [ONE]


def test_blocks_that_touch_are_not(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for first in (10, 0, 5, 15):
            put(connection, ONE, first, first + 4)
        assert len(lease.read_latest(connection, SUBNET, "p")) == 4


def test_central_has_one_block_where_a_site_has_several(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for first in (8, 0, 24, 16):
            put(connection, CENTRAL, first, first + 7)
        (one,) = lease.read_latest(connection, SUBNET, "p")
        assert one.block == Block(0, 31)
        put(connection, ONE, 32, 39)
        put(connection, CENTRAL, 40, 47)
        assert len(lease.read_latest(connection, SUBNET, "p")) == 3


@pytest.mark.db
def test_behind_the_lock_what_is_committed_is_seen(mariadb_url: str) -> None:
    """What the plain read shows is the fault; the locking one has to show the truth."""
    engine = sa.create_engine(mariadb_url)
    METADATA.create_all(engine)
    try:
        with engine.connect() as late:
            level = late.get_isolation_level()
            assert level == "REPEATABLE READ"
            late.execute(sa.select(sa.func.count()).select_from(LEASES))  # the snapshot
            with engine.begin() as early:
                pool.lock(early, SUBNET, "p")
                put(early, ONE, 10, 20)
            pool.lock(late, SUBNET, "p")
            assert lease.list_leases(late, pool_ids=["p"]) == []
            assert [one.block for one in lease.read_latest(late, SUBNET, "p")] == [Block(10, 20)]
            covering = lease.find_covering(late, SUBNET, "p", 15)
            assert covering is not None
            assert covering.site == ONE
            with pytest.raises(errors.Busy, match="site1"):
                put(late, CENTRAL, 15, 15)
            late.rollback()
    finally:
        METADATA.drop_all(engine)
        engine.dispose()


def test_spare_numbers_are_taken_from_below_or_by_name(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        spare.add(connection, "p", Block(10, 14))
        spare.add(connection, "p", Block(20, 21))
        spare.add(connection, "q", Block(1, 9))
        assert spare.take(connection, "p", 2) == [10, 11]
        assert spare.take_one(connection, "p", 13)
        assert not spare.take_one(connection, "p", 13)
        assert not spare.take_one(connection, "p", 9)
        assert list(spare.read_all(connection, "p")) == [
            Block(12, 12),
            Block(14, 14),
            Block(20, 21),
        ]
        assert spare.take(connection, "p", 9) == [12, 14, 20, 21]
        assert spare.take(connection, "p", 1) == []
        assert spare.take(connection, "q", 1) == [1]


def test_an_address_rests_until_nobody_has_to_hear(engine: sa.Engine) -> None:
    port, other = "port-1", "port-2"
    with engine.begin() as connection:
        resting.record(connection, [("p", 10, port), ("p", 11, other), ("q", 10, port)])
        shadow = IntentKey(TWO, ResourceType.SHADOW, port)
        journal.record(connection, [shadow, IntentKey(TWO, ResourceType.NETWORK, other)])
    with engine.begin() as connection:
        assert resting.find_rested(connection, "p", 10) == [11]
        assert resting.find_unacknowledged(connection, [port, other]) == {port}
        assert resting.list_in(connection, "p", Block(0, 99)) == [(10, port), (11, other)]
        resting.delete(connection, "p", [11])
        resting.record(connection, [("p", 10, other)])  # used and freed by another since
        assert resting.find_port(connection, "p", 10) == other
        assert resting.find_rested(connection, "p", 10) == [10]


@pytest.mark.db
@pytest.mark.parametrize(
    ("level", "good"),
    [
        ("READ UNCOMMITTED", False),
        ("READ COMMITTED", True),
        ("REPEATABLE READ", True),
        ("SERIALIZABLE", True),
    ],
)
def test_a_level_that_keeps_nothing_apart_is_refused(
    mariadb_url: str, level: str, good: bool
) -> None:
    engine = sa.create_engine(mariadb_url, isolation_level=level)
    try:
        with engine.connect() as connection:
            if good:
                isolation.check(connection)
            else:
                with pytest.raises(errors.Unsupported, match="READ UNCOMMITTED"):
                    isolation.check(connection)
    finally:
        engine.dispose()


def test_only_what_overlaps_is_read(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for first in range(0, 100, 10):
            lease.insert(connection, SUBNET, "s", ONE, Block(first, first + 4), now=T0)
        assert [
            [one.block.first for one in lease.read_overlapping(connection, SUBNET, "s", block)]
            for block in (Block(12, 12), Block(15, 19), Block(14, 31), Block(0, 4), Block(95, 200))
        ] == [[10], [], [10, 20, 30], [0], []]
