"""Port keys at REPEATABLE READ: a transaction that waited chooses by what is committed now."""

import datetime
import uuid
import warnings
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from isthmus.model.lease import Block
from isthmus.store.leases.lease import to_text
from isthmus.store.ports import port_key
from isthmus.store.sql.tables import DATAPATHS, LEASES

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.lease import port_keys


pytestmark = [pytest.mark.neutron, pytest.mark.db]

T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables


@pytest.fixture(scope="module")
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(params=["REPEATABLE READ", "READ COMMITTED"])
def engine(url: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, isolation_level=request.param)
    yield engine
    engine.dispose()


def make_network(engine: sa.Engine, *blocks: Block) -> str:
    network = str(uuid.uuid4())
    with engine.begin() as connection:
        key = 16711999 + (connection.scalar(sa.select(sa.func.count()).select_from(DATAPATHS)) or 0)
        connection.execute(sa.insert(DATAPATHS).values(network_id=network, datapath_key=key))
        for block in blocks:
            values = {"kind": "port_key", "pool_id": network, "site": "site1", "created_at": T0}
            ends = {"first": to_text(block.first), "last": to_text(block.last)}
            connection.execute(sa.insert(LEASES).values(id=str(uuid.uuid4()), **values, **ends))
    return network


def begin(connection: sa.Connection) -> None:
    """Read something, as a port's create does long before it comes to the key."""
    connection.execute(sa.text("SELECT COUNT(*) FROM ports")).all()


def give(engine: sa.Engine, network: str) -> int:
    """Give a key to a port that is deleted at once."""
    port = str(uuid.uuid4())
    with engine.begin() as connection:
        given = port_keys.allocate(connection, network, port)
        assert given is not None
    with engine.begin() as connection:
        port_key.free(connection, [port])
    return given.key


def test_a_key_that_came_and_went_meanwhile_rests(engine: sa.Engine) -> None:
    network = make_network(engine, Block(1, 64))
    with engine.begin() as connection:
        begin(connection)
        former = give(engine, network)
        mine = port_keys.allocate(connection, network, str(uuid.uuid4()))
    assert mine is not None
    assert mine.key != former


def test_a_rested_key_that_came_and_went_meanwhile_rests_again(engine: sa.Engine) -> None:
    network = make_network(engine, Block(1, 2))
    for _ in range(2):
        give(engine, network)
    with engine.begin() as connection:
        rows = port_key.list_resting(connection, network, 9)
        port_key.end_rest(connection, network, rows)
    with engine.begin() as connection:
        begin(connection)
        former = give(engine, network)
        mine = port_keys.allocate(connection, network, str(uuid.uuid4()))
    assert mine is not None
    assert mine.key != former


def test_a_block_that_went_meanwhile_gives_no_key(engine: sa.Engine) -> None:
    network = make_network(engine, Block(1, 8), Block(101, 108))
    with engine.begin() as connection:
        begin(connection)
        with engine.begin() as other:
            gone = sa.delete(LEASES).where(LEASES.c.pool_id == network)
            other.execute(gone.where(LEASES.c.first == to_text(101)))
        mine = port_keys.allocate(connection, network, str(uuid.uuid4()))
    assert mine is not None
    assert mine.key <= 8


def test_a_port_that_comes_back_has_its_own_key_again(engine: sa.Engine) -> None:
    """A new one would erase that the old one was ever used, though shadows may have it yet."""
    network = make_network(engine, Block(1, 1), Block(101, 108))
    port = str(uuid.uuid4())
    with engine.begin() as connection:
        port_key.insert(connection, port, network, 1)
        port_key.free(connection, [port])
    with engine.begin() as connection:
        begin(connection)
        mine = port_keys.allocate(connection, network, port)
        other = port_keys.allocate(connection, network, str(uuid.uuid4()))
    assert mine is not None
    assert other is not None
    assert (mine.key, other.key) == (1, 101)
