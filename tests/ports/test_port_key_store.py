"""A site's port keys, on SQLite and on MariaDB at its default level."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.store.delivery import journal
from isthmus.store.ports import datapath, port_key
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import JOURNAL, METADATA

BLOCK, OTHER = Block(1, 64), Block(65, 128)


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("mariadb_url"))
    METADATA.create_all(engine)
    with engine.begin() as opened:
        for number, network_id in enumerate(("n", "m")):
            datapath.record(opened, network_id, datapath.HIGHEST_KEY - number)
        yield opened
    METADATA.drop_all(engine)
    engine.dispose()


def give(connection: sa.Connection, network_id: str, **keys: int) -> None:
    for port_id, key in keys.items():
        port_key.insert(connection, port_id, network_id, key)


def test_only_a_stretched_network_has_keys(connection: sa.Connection) -> None:
    assert port_key.lock_network(connection, "n")
    assert not port_key.lock_network(connection, "own")


def test_a_key_is_found_by_its_port_and_a_port_by_its_key(connection: sa.Connection) -> None:
    give(connection, "n", a=3, b=4)
    give(connection, "m", c=3)
    assert [port_key.find_key(connection, one) for one in "abcd"] == [3, 4, 3, None]
    assert port_key.find_keys(connection, ["a", "c", "d"]) == {"a": 3, "c": 3}
    assert port_key.find_keys(connection, []) == {}
    assert port_key.find_holder(connection, "n", 3) == "a"
    assert port_key.find_holder(connection, "m", 3) == "c"
    assert port_key.find_holder(connection, "m", 4) is None
    assert port_key.list_keys(connection) == {"a": ("n", 3), "b": ("n", 4), "c": ("m", 3)}
    assert sorted(connection.scalars(port_key.select_holders())) == ["a", "b", "c"]


@pytest.mark.parametrize(("port_id", "key"), [("b", 3), ("a", 4)])
def test_a_network_gives_a_key_once_and_a_port_has_one(
    connection: sa.Connection, port_id: str, key: int
) -> None:
    give(connection, "n", a=3)
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        port_key.insert(connection, port_id, "n", key)
    assert port_key.list_keys(connection) == {"a": ("n", 3)}


def test_the_greatest_key_counts_what_was_given_back_too(connection: sa.Connection) -> None:
    assert port_key.find_highest(connection, "n", BLOCK) is None
    give(connection, "n", a=3, b=9, c=70)
    give(connection, "m", d=50)
    port_key.free(connection, ["b"])
    assert port_key.find_highest(connection, "n", BLOCK) == 9
    assert port_key.find_highest(connection, "n", OTHER) == 70
    assert port_key.find_highest(connection, "n", Block(10, 64)) is None


def test_a_key_that_was_given_back_rests_until_everybody_has_heard(
    connection: sa.Connection,
) -> None:
    give(connection, "n", a=3, b=4, c=70)
    for port_id in ("b", "c", "a"):
        port_key.free(connection, [port_id])
    assert port_key.list_keys(connection) == {}
    assert port_key.find_rested(connection, "n", [BLOCK]) is None
    assert port_key.list_resting_networks(connection) == ["n"]
    journal.record(connection, [IntentKey(CENTRAL, ResourceType.PORT, "b")])
    unheard = [(3, "a"), (70, "c")]
    assert port_key.list_resting(connection, "n", 9) == unheard, "of b central has not heard"
    assert port_key.list_resting(connection, "n", 1) == [(3, "a")]
    assert port_key.list_resting(connection, "n", 9, after=3) == [(70, "c")]
    keys = [(3, "a"), (4, "b"), (70, "c")]
    assert port_key.end_rest(connection, "n", keys) == 2, "of b central has not heard"
    connection.execute(sa.delete(JOURNAL))
    assert port_key.end_rest(connection, "n", keys) == 1
    assert port_key.list_resting_networks(connection) == []
    assert port_key.find_rested(connection, "n", [BLOCK]) == 4, "the one that rested longest"
    assert port_key.find_rested(connection, "n", [Block(5, 64), OTHER]) == 70
    assert port_key.find_rested(connection, "n", []) is None
    assert port_key.find_rested(connection, "m", [BLOCK]) is None


def test_the_key_that_was_given_back_last_is_used_last(connection: sa.Connection) -> None:
    """By the order in which they came: the clock of a host may be set back."""
    give(connection, "n", a=3, b=4, c=5)
    give(connection, "m", d=9)
    port_key.free(connection, ["c", "d"])
    port_key.free(connection, ["a", "b"])
    used = []
    for number in range(4):
        port_key.end_rest(connection, "n", port_key.list_resting(connection, "n", 9))
        rested = port_key.find_rested(connection, "n", [BLOCK])
        assert rested is not None
        used.append(rested)
        give(connection, "n", **{f"new{number}": rested})
        port_key.free(connection, [f"new{number}"])
    assert used == [5, 3, 4, 5]


def test_a_key_that_was_used_and_released_again_since_it_was_asked_about_rests_on(
    connection: sa.Connection,
) -> None:
    give(connection, "n", a=3)
    port_key.free(connection, ["a"])
    asked = port_key.list_resting(connection, "n", 9)
    give(connection, "n", b=3)
    port_key.free(connection, ["b"])
    assert port_key.end_rest(connection, "n", asked) == 0
    assert port_key.list_resting(connection, "n", 9) == [(3, "b")]


def test_a_key_in_use_does_not_rest_and_giving_it_back_again_changes_nothing(
    connection: sa.Connection,
) -> None:
    give(connection, "n", a=3, b=4)
    port_key.end_rest(connection, "n", [(3, "a")])
    assert port_key.find_rested(connection, "n", [BLOCK]) is None
    port_key.free(connection, ["a", "b"])
    port_key.end_rest(connection, "n", [(3, "a"), (4, "b"), (4, "a")])
    port_key.free(connection, ["a"])
    assert port_key.find_rested(connection, "n", [BLOCK]) == 3, "neither its rest nor its turn"


def test_a_rested_key_goes_to_another_port_and_a_port_gets_another_key(
    connection: sa.Connection,
) -> None:
    give(connection, "n", a=3)
    port_key.free(connection, ["a"])
    give(connection, "n", b=3)
    assert port_key.list_keys(connection) == {"b": ("n", 3)}
    give(connection, "n", a=4)
    port_key.free(connection, ["a"])
    give(connection, "n", a=5)
    assert port_key.list_keys(connection) == {"a": ("n", 5), "b": ("n", 3)}


def test_a_key_that_was_lost_is_restored_unless_something_newer_stands(
    connection: sa.Connection,
) -> None:
    give(connection, "n", a=3)
    give(connection, "m", elsewhere=7)
    port_key.restore(connection, "n", {"a": 9, "b": 3, "c": 5, "d": 5, "elsewhere": 8})
    port_key.delete_network(connection, "m")
    assert port_key.list_keys(connection) == {"a": ("n", 3), "c": ("n", 5)}
    port_key.free(connection, ["a"])
    port_key.restore(connection, "n", {"a": 3})
    assert port_key.find_key(connection, "a") == 3


def test_a_key_that_may_have_been_used_rests_unless_it_is_known(
    connection: sa.Connection,
) -> None:
    give(connection, "n", a=3)
    for port_id, key in (("a", 8), ("b", 3), ("gone", 7)):
        port_key.set_aside(connection, port_id, "n", key)
    assert port_key.list_keys(connection) == {"a": ("n", 3)}
    assert port_key.list_resting(connection, "n", 9) == [(7, "gone")]
    assert port_key.find_highest(connection, "n", BLOCK) == 7


def test_a_network_that_goes_takes_its_keys(connection: sa.Connection) -> None:
    give(connection, "n", a=3)
    give(connection, "m", b=3)
    port_key.delete_network(connection, "n")
    assert port_key.list_keys(connection) == {"b": ("m", 3)}


@pytest.mark.db
def test_two_ports_made_at_once_choose_one_after_the_other(mariadb_url: str) -> None:
    """What the first has chosen is not seen by the second before it has the network's lock."""
    engine = sa.create_engine(mariadb_url)
    METADATA.create_all(engine)
    try:
        with engine.begin() as connection:
            datapath.record(connection, "n", datapath.HIGHEST_KEY)
        with engine.connect() as second:
            second.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
            second.execute(sa.select(JOURNAL)).all()  # what it reads plainly is from before
            with engine.begin() as first:
                assert port_key.lock_network(first, "n")
                port_key.insert(first, "a", "n", 3)
                with pytest.raises(sa.exc.OperationalError, match="1205"):
                    port_key.lock_network(second, "n")
            assert port_key.lock_network(second, "n")
            assert port_key.find_highest(second, "n", BLOCK) == 3
            second.rollback()
    finally:
        METADATA.drop_all(engine)
        engine.dispose()
