"""A network's tunnel key while it is freed, placed and noted at once; on MariaDB."""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows
from tests.ports.test_central_store import ONE, T0, TWO

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.store.ports import datapath
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import forget, mapping
from isthmus.store.tiers.locked import LockedObjects
from isthmus.testing.until import until

pytestmark = pytest.mark.db
NETWORK = ResourceType.NETWORK


@pytest.fixture
def engine(mariadb_url: str) -> Iterator[sa.Engine]:
    made = open_engine(mariadb_url)
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.create_all(made)
    with writing(made) as connection:
        connection.execute(sa.insert(neutron_rows.TABLES["networks"]).values(id="n"))
        datapath.ensure_key(connection, "n")
        mapping.record(connection, NETWORK, ["n"], ONE, owners={"n": None}, now=T0)
    yield made
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.drop_all(made)
    made.dispose()


#: InnoDB shows who waits from a cache, which it renews only if nobody has read it for 0.1 s.
_LOOK_EVERY_S = 0.5


def _waits(engine: sa.Engine) -> bool:
    query = sa.text("SELECT COUNT(*) FROM information_schema.innodb_lock_waits")
    with reading(engine) as connection:
        return bool(connection.scalar(query))


@pytest.mark.parametrize("how", ["acknowledged", "purged"])
def test_a_key_is_not_freed_under_who_extends_its_network(engine: sa.Engine, how: str) -> None:
    def free() -> None:
        with writing(engine) as connection:
            if how == "acknowledged":
                forget.forget_objects(connection, [IntentKey(ONE, NETWORK, "n")])
            else:
                mapping.delete(connection, NETWORK, "n", ONE)
                forget.free_datapaths(connection)

    other = threading.Thread(target=free)
    with writing(engine) as connection:
        network = LockedObjects(connection, NETWORK, ["n"], alone=True)
        key = datapath.ensure_key(connection, "n")
        other.start()
        until(lambda: _waits(engine), what="the other to wait", every_s=_LOOK_EVERY_S)
        network.map_to(TWO, now=T0)
    other.join()
    with reading(engine) as connection:
        assert datapath.find_key(connection, "n") == key
        assert set(mapping.peek_sites(connection, NETWORK, ["n"])["n"]) == {TWO}


def test_a_key_that_is_being_freed_is_waited_for(engine: sa.Engine) -> None:
    placed: list[int] = []

    def place() -> None:
        with writing(engine) as connection:
            LockedObjects(connection, NETWORK, ["n"], alone=True).map_to(TWO, now=T0)
            placed.append(datapath.ensure_key(connection, "n"))

    other = threading.Thread(target=place)
    with writing(engine) as connection:
        forget.forget_objects(connection, [IntentKey(ONE, NETWORK, "n")])
        other.start()
        until(lambda: _waits(engine), what="the other to wait", every_s=_LOOK_EVERY_S)
    other.join()
    with reading(engine) as connection:
        assert [datapath.find_key(connection, "n")] == placed


def test_a_site_says_that_a_key_is_anothers(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        datapath.delete(connection, "n")
        datapath.record(connection, "a", 17)
        datapath.record(connection, "a", 17)
        with pytest.raises(errors.Stale, match="17 is still that of network a"):
            datapath.record(connection, "b", 17)
        datapath.delete(connection, "a")
        datapath.record(connection, "b", 17)
        assert datapath.list_keys(connection, ["a", "b"]) == {"b": 17}
