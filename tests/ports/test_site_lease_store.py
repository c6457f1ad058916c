"""A site's own leases and their states, on SQLite and on MariaDB at its default level."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.ports.database_clock import drive, follow

from isthmus import errors
from isthmus.model.lease import Block, Lease, LeaseEvent, LeaseId, LeaseState, PoolKind, rest_id
from isthmus.model.site import SiteName
from isthmus.store.leases import lease as both
from isthmus.store.leases import recall, returns
from isthmus.store.leases.returns import Return
from isthmus.store.local import lease
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import METADATA, RETURNS
from isthmus.testing.clock import FakeClock

ONE, TWO = SiteName("site1"), SiteName("site2")
SUBNET, KEYS = PoolKind.SUBNET, PoolKind.PORT_KEY
A, B, C = (str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in "abc")
CLOCK = FakeClock()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("mariadb_url"))
    drive(engine, CLOCK)
    METADATA.create_all(engine)
    with engine.begin() as opened:
        yield opened
    METADATA.drop_all(engine)
    engine.dispose()


def said(
    lease_id: str, first: int, last: int, *, site: SiteName = ONE, kind: PoolKind = SUBNET
) -> dict[str, str]:
    """Make what central says of a lease."""
    made = Lease(id=LeaseId(lease_id), kind=kind, pool_id="p", site=site, block=Block(first, last))
    return both.to_state(made)


def held(connection: sa.Connection, pool_id: str = "p") -> dict[str, tuple[int, int]]:
    return {
        one: (block.first, block.last)
        for one, block in lease.read_leases(connection, SUBNET, pool_id)
    }


def states(connection: sa.Connection) -> dict[str, tuple[str, int, int]]:
    return {
        row.id: (row.state, int(row.first), int(row.last))
        for row in connection.execute(sa.select(RETURNS))
    }


def test_what_central_leases_is_taken_into_use_once(connection: sa.Connection) -> None:
    assert lease.add(connection, ONE, []) == []
    assert lease.add(connection, ONE, [said(A, 0, 9), said(B, 20, 29)]) == [A, B]
    assert lease.add(connection, ONE, [said(B, 20, 29), said(C, 40, 49)]) == [C]
    assert held(connection) == {A: (0, 9), B: (20, 29), C: (40, 49)}
    assert lease.read_blocks(connection, KEYS, "p") == []
    assert lease.find_pools(connection) == ["p"]


@pytest.mark.parametrize(
    "change", [{"site": "site2"}, {"kind": "other"}, {"last": "-1"}, {"first": "x"}]
)
def test_what_is_no_lease_of_this_site_is_refused(
    connection: sa.Connection, change: dict[str, str]
) -> None:
    with pytest.raises(errors.ProtocolError):
        lease.add(connection, ONE, [said(A, 0, 9) | change])
    assert held(connection) == {}


def test_a_lease_listed_smaller_is_smaller_and_never_grows(connection: sa.Connection) -> None:
    lease.add(connection, ONE, [said(A, 0, 9)])
    for first, last, left in ((2, 9, (2, 9)), (0, 7, (2, 7)), (0, 9, (2, 7))):
        assert lease.add(connection, ONE, [said(A, first, last)]) == []
        assert held(connection) == {A: left}
    lease.add(connection, ONE, [said(A, 20, 29)])
    assert held(connection) == {}


def test_a_lease_goes_through_its_states(connection: sa.Connection) -> None:
    lease.add(connection, ONE, [said(A, 0, 9), said(B, 20, 29)])
    assert lease.lock(connection, A) == Block(0, 9)
    lease.set_aside(connection, "p", [A, C])  # one that is not there is passed over
    assert held(connection) == {B: (20, 29)}
    assert lease.lock(connection, A) is None
    assert states(connection) == {A: ("set_aside", 0, 9)}
    assert returns.list_states(connection, [A, B]) == {A: LeaseState.SET_ASIDE}
    assert returns.list_unacknowledged(connection, "p", older_s=0) == [Return(A, A, Block(0, 9))]
    for _ in range(2):  # central may answer twice
        returns.acknowledge(connection, [A, C])
        assert states(connection) == {A: ("acknowledged", 0, 9)}
    assert returns.list_unacknowledged(connection, "p", older_s=0) == []
    assert returns.list_acknowledged(connection) == {A}
    returns.forget(connection, [A])
    assert states(connection) == {}


@pytest.mark.parametrize("acknowledged", [False, True])
def test_an_old_answer_brings_nothing_back(
    connection: sa.Connection, *, acknowledged: bool
) -> None:
    lease.add(connection, ONE, [said(A, 0, 9)])
    lease.set_aside(connection, "p", [A])
    if acknowledged:
        returns.acknowledge(connection, [A])
    before = states(connection)
    assert lease.add(connection, ONE, [said(A, 0, 9)]) == []
    assert held(connection) == {}
    assert states(connection) == before
    # The same numbers under another id are another lease.
    assert lease.add(connection, ONE, [said(B, 0, 9)]) == [B]


def test_a_step_that_is_not_in_the_table_is_refused(connection: sa.Connection) -> None:
    lease.add(connection, ONE, [said(A, 0, 9)])
    lease.set_aside(connection, "p", [A])
    with pytest.raises(errors.Inconsistent, match="set_aside: forget"):
        returns.forget(connection, [A])
    part = Return(B, B, Block(20, 29))
    with pytest.raises(errors.Inconsistent, match="in_use: cut_out"):
        returns.record(connection, "p", part, LeaseState.IN_USE, LeaseEvent.CUT_OUT)
    with pytest.raises(errors.Inconsistent, match="acknowledged: set_aside"):
        returns.record(connection, "p", part, LeaseState.ACKNOWLEDGED, LeaseEvent.SET_ASIDE)
    assert states(connection) == {A: ("set_aside", 0, 9)}


def test_what_is_cut_out_has_an_id_that_central_gives_it_too(connection: sa.Connection) -> None:
    lease.add(connection, ONE, [said(A, 0, 99)])
    lease.cut_out(connection, ONE, "p", A, [Block(80, 99), Block(40, 59), Block(0, 9)])
    middle, high = rest_id(A, 10), rest_id(A, 60)
    assert held(connection) == {high: (60, 79), middle: (10, 39)}
    assert states(connection) == {
        rest_id(A, 80): ("set_aside", 80, 99),
        rest_id(A, 40): ("set_aside", 40, 59),
        A: ("set_aside", 0, 9),
    }
    lease.cut_out(connection, ONE, "p", high, [Block(70, 74)])
    assert held(connection)[rest_id(A, 75)] == (75, 79), "the rest of a rest is of the same lease"
    parts = returns.list_unacknowledged(connection, "p", older_s=0)
    assert {one.origin for one in parts} == {A}
    held_now = {block for one in held(connection).values() for block in range(one[0], one[1] + 1)}
    gone = {number for one in parts for number in range(one.block.first, one.block.last + 1)}
    assert held_now | gone == set(range(100))
    assert not held_now & gone


def test_age_is_by_the_clock_of_the_database(connection: sa.Connection) -> None:
    lease.add(connection, ONE, [said(A, 0, 9)])
    CLOCK.move(60)
    follow(connection, CLOCK)
    lease.add(connection, ONE, [said(B, 20, 29)])
    old = lease.read_leases(connection, SUBNET, "p", older_s=60)
    assert old == [(A, Block(0, 9))]
    assert [one for one, _ in lease.read_leases(connection, SUBNET, "p")] == [A, B]
    lease.set_aside(connection, "p", [A])
    assert returns.list_unacknowledged(connection, "p", older_s=1) == []
    CLOCK.move(2)
    follow(connection, CLOCK)
    assert len(returns.list_unacknowledged(connection, "p", older_s=1)) == 1


def test_what_central_says_is_no_more_goes_and_a_pool_takes_all_of_it(
    connection: sa.Connection,
) -> None:
    lease.add(connection, ONE, [said(A, 0, 9), said(B, 20, 29), said(C, 40, 49)])
    lease.remove(connection, [])
    lease.remove(connection, [A])
    assert held(connection) == {B: (20, 29), C: (40, 49)}
    lease.set_aside(connection, "p", [B])
    returned = Lease(id=LeaseId(C), kind=SUBNET, pool_id="p", site=ONE, block=Block(40, 49))
    recall.record(connection, returned, Block(40, 49), 5)
    lease.delete_pool(connection, "q")
    assert lease.find_pools(connection) == ["p"]
    assert states(connection) == {B: ("set_aside", 20, 29)}
    lease.delete_pool(connection, "p")
    assert (held(connection), states(connection)) == ({}, {})
    assert lease.find_pools(connection) == []
    returns.acknowledge(connection, [B])  # an answer that comes behind the pool's end
    assert states(connection) == {}


@pytest.mark.parametrize("named_first", [True, False])
@pytest.mark.parametrize("named", [Block(100, 100), Block(140, 141), Block(199, 199)])
def test_so_many_and_one_by_name_are_not_all(
    connection: sa.Connection, named: Block, named_first: bool
) -> None:
    """Whichever comes first, and however often: the site keeps what nobody has asked for."""
    whole = Lease(id=LeaseId(A), kind=SUBNET, pool_id="p", site=ONE, block=Block(100, 199))
    asked = [(named, named.size), (whole.block, 50)]
    for block, count in asked if named_first else asked[::-1]:
        said = recall.record(connection, whole, block, count)
    for _ in range(2):
        assert said.block.size == said.wanted == 50
        assert 100 <= said.block.first <= named.first
        assert named.last <= said.block.last <= 199
        said = recall.record(connection, whole, whole.block, 50)


def test_two_parts_are_recalled_with_all_between(connection: sa.Connection) -> None:
    whole = Lease(id=LeaseId(A), kind=SUBNET, pool_id="p", site=ONE, block=Block(100, 199))
    recall.record(connection, whole, Block(110, 119), 10)
    said = recall.record(connection, whole, Block(140, 149), 10)
    assert (said.block, said.wanted) == (Block(110, 149), 40)
    said = recall.record(connection, whole, whole.block, 20)
    assert (said.block, said.wanted) == (Block(110, 149), 40)


def test_a_subnet_is_kept_in_mind_while_central_has_to_hear_of_it(
    connection: sa.Connection,
) -> None:
    lease.add(connection, ONE, [said(A, 0, 9)])
    lease.set_aside(connection, "p", [A])
    assert lease.find_pools(connection) == ["p"]
    returns.acknowledge(connection, [A])
    assert lease.find_pools(connection) == []


@pytest.mark.db
def test_who_takes_a_number_and_who_sets_its_lease_aside_wait_for_one_another(
    mariadb_url: str,
) -> None:
    engine = sa.create_engine(mariadb_url)
    METADATA.create_all(engine)
    try:
        with engine.begin() as connection:
            lease.add(connection, ONE, [said(A, 0, 9)])
        with engine.begin() as keeper:
            assert lease.lock(keeper, A) == Block(0, 9)
            with engine.connect() as taker:
                taker.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
                with pytest.raises(sa.exc.OperationalError, match="1205"):
                    both.find_covering(taker, SUBNET, "p", 5, write=False)
                taker.rollback()
            lease.set_aside(keeper, "p", [A])
        with engine.begin() as connection:
            assert both.find_covering(connection, SUBNET, "p", 5, write=False) is None
    finally:
        METADATA.drop_all(engine)
        engine.dispose()
