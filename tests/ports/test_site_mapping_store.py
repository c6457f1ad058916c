"""What a site keeps of central's objects, on SQLite and on MariaDB at its default level."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.ports.journal_rows import list_jobs

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import journal
from isthmus.store.leases import lease, resting
from isthmus.store.local import mapping
from isthmus.store.ports import datapath, port_key
from isthmus.store.sql.clock import read
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import METADATA

ONE = SiteName("site1")
NETWORK, PORT = ResourceType.NETWORK, ResourceType.PORT
GROUP = ResourceType.SECURITY_GROUP


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("mariadb_url"))
    METADATA.create_all(engine)
    with engine.begin() as opened:
        yield opened
    METADATA.drop_all(engine)
    engine.dispose()


def test_an_object_is_centrals_from_when_it_is_added_until_it_is_removed(
    connection: sa.Connection,
) -> None:
    for _ in range(2):  # idempotent
        mapping.add(connection, NETWORK, "n", ONE, project_id="p")
    assert mapping.find_known(connection, NETWORK, ["n", "m"]) == {"n"}
    assert mapping.find_known(connection, NETWORK, ["n", "m"], latest=True) == {"n"}
    assert mapping.find_known(connection, PORT, ["n"]) == set()
    mapping.remove(connection, NETWORK, ["n"])
    assert mapping.find_known(connection, NETWORK, ["n"]) == set()


def test_a_network_is_complete_once_all_of_its_bundle_is_there(connection: sa.Connection) -> None:
    mapping.add(connection, NETWORK, "n", ONE, project_id="p")
    assert not mapping.is_complete(connection, "n")
    mapping.set_complete(connection, "n", complete=True)
    assert mapping.is_complete(connection, "n")
    mapping.add(connection, NETWORK, "n", ONE, project_id="p")
    assert mapping.is_complete(connection, "n"), "adding it again changes nothing"
    mapping.set_complete(connection, "n", complete=False)
    assert not mapping.is_complete(connection, "n")
    mapping.set_complete(connection, "unknown", complete=True)
    assert not mapping.is_complete(connection, "unknown")


def test_a_group_is_complete_for_itself(connection: sa.Connection) -> None:
    for kind, one in ((GROUP, "n"), (GROUP, "g"), (NETWORK, "n")):
        mapping.add(connection, kind, one, ONE, project_id="p")
    mapping.set_complete(connection, "n", complete=True, kind=GROUP)
    assert mapping.is_complete(connection, "n", kind=GROUP)
    assert not mapping.is_complete(connection, "n")
    assert mapping.find_complete(connection, GROUP, ["n", "g", "x"]) == {"n"}


def test_only_what_a_report_was_made_with_is_replaced(connection: sa.Connection) -> None:
    def agree(before: dict[str, str] | None, base: dict[str, str]) -> None:
        mapping.agree(connection, "a", ONE, project_id="p", before=before, base=base)

    assert mapping.find_bases(connection, ["a"]) == {}
    agree(None, {"name": "x"})
    assert mapping.find_bases(connection, ["a"]) == {"a": {"name": "x"}}
    agree({"name": "old"}, {"name": "y"})
    assert mapping.find_bases(connection, ["a"]) == {"a": {"name": "x"}}
    agree({"name": "x"}, {"name": "z"})
    assert mapping.find_bases(connection, ["a"]) == {"a": {"name": "z"}}
    mapping.set_base(connection, "a", {"name": "said"})
    assert mapping.find_bases(connection, ["a", "b"]) == {"a": {"name": "said"}}


def test_a_tunnel_key_is_one_networks(connection: sa.Connection) -> None:
    for _ in range(2):
        datapath.record(connection, "n", 77)
    assert datapath.find_key(connection, "n") == 77
    with pytest.raises(errors.Stale, match="network m: its tunnel key 77"):
        datapath.record(connection, "m", 77)


def test_a_network_that_goes_takes_all_that_is_of_it(connection: sa.Connection) -> None:
    for one, key in (("n", 77), ("m", 78)):
        mapping.add(connection, NETWORK, one, ONE, project_id="p")
        datapath.record(connection, one, key)
        block = Block(key * 10, key * 10 + 9)
        lease.insert(connection, PoolKind.PORT_KEY, one, ONE, block, now=read(connection))
        port_key.insert(connection, f"{one}-port", one, block.first)
        resting.record(connection, [(one, block.last, "gone")])
    mapping.forget(connection, NETWORK, "n")
    assert mapping.find_known(connection, NETWORK, ["n", "m"]) == {"m"}
    assert datapath.find_key(connection, "n") is None
    assert [one.pool_id for one in lease.list_leases(connection)] == ["m"]
    assert port_key.list_keys(connection) == {"m-port": ("m", 780)}
    assert resting.list_pools(connection) == ["m"]


def test_of_a_port_that_central_says_is_gone_nothing_is_left_to_report(
    connection: sa.Connection,
) -> None:
    for one in ("a", "b"):
        mapping.add(connection, PORT, one, ONE, project_id="p", base={"name": one})
    journal.record(connection, [IntentKey(CENTRAL, PORT, one) for one in ("a", "b")])
    mapping.forget(connection, PORT, "a")
    assert mapping.find_bases(connection, ["a", "b"]) == {"b": {"name": "b"}}
    assert [one.key.id for one in list_jobs(connection)] == ["b"]
