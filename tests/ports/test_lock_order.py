"""Who forgets an object, or moves a port, locks in the order of whoever changes it; on MariaDB.

The object's own row first, then where it is mapped, then what has to be told (ADR 0020). Otherwise
the two wait for each other, and one of them is rolled back.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows
from tests.ports.test_central_store import ONE, T0, TWO
from tests.ports.test_datapath_keys import _LOOK_EVERY_S, _waits

from isthmus.model.intent import IntentKey, Outcome, Settlement
from isthmus.model.resource import ResourceType
from isthmus.store.delivery import journal
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.ports import datapath, home
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import METADATA, NAMED_PORTS, REGISTRATIONS
from isthmus.store.tiers import forget, mapping, named_port
from isthmus.store.tiers.locked import LockedObjects
from isthmus.testing.until import until

pytestmark = pytest.mark.db
NETWORK, PORT = ResourceType.NETWORK, ResourceType.PORT


@pytest.fixture
def engine(mariadb_url: str) -> Iterator[sa.Engine]:
    """A network at one site with a port, which another site claims."""
    made = open_engine(mariadb_url)
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.create_all(made)
    with writing(made) as connection:
        connection.execute(sa.insert(neutron_rows.TABLES["networks"]).values(id="n"))
        connection.execute(sa.insert(neutron_rows.TABLES["ports"]).values(id="p", network_id="n"))
        datapath.ensure_key(connection, "n")
        for site in (ONE, TWO):
            mapping.record(connection, NETWORK, ["n"], site, owners={"n": None}, now=T0)
        home.assign(connection, "p", ONE, project_id=None, now=T0)
        connection.execute(
            sa.insert(REGISTRATIONS).values(
                site=ONE, registration="r", epoch=1, waits=False, named_ports=True
            )
        )
        connection.execute(sa.insert(NAMED_PORTS).values(port_id="p", site=TWO))
        journal.record(connection, [IntentKey(ONE, NETWORK, "n")])
    yield made
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.drop_all(made)
    made.dispose()


def acknowledge(engine: sa.Engine) -> None:
    store = SqlJournal(engine, lock=forget.lock_objects, forget=forget.forget_objects)
    (one,) = store.claim(ONE, owner="me", claim_s=300, limit=9).claims
    store.settle([Settlement(claim=one, outcome=Outcome.DONE, absent=True)])


def remove_site(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        forget.forget_site(connection, ONE, welcome=lambda *_: None)


def follow(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        named_port.follow(connection, lambda *_: None)


def extend(connection: sa.Connection, network: LockedObjects) -> None:
    network.map_to(ONE, now=T0)
    journal.record(connection, [IntentKey(ONE, NETWORK, "n")])


def leave(connection: sa.Connection, _port: LockedObjects) -> None:
    home.set_leaving(connection, "p", leaving=True)


@pytest.mark.parametrize(
    ("kind", "change", "other"),
    [
        (NETWORK, extend, acknowledge),
        (NETWORK, extend, remove_site),
        (PORT, leave, follow),
    ],
)
def test_the_object_is_locked_before_its_mapping(
    engine: sa.Engine,
    kind: ResourceType,
    change: Callable[[sa.Connection, LockedObjects], None],
    other: Callable[[sa.Engine], None],
) -> None:
    before = count_deadlocks(engine)
    with ThreadPoolExecutor(1) as threads:
        with writing(engine) as connection:
            held = LockedObjects(connection, kind, ["n" if kind is NETWORK else "p"], alone=True)
            ended = threads.submit(other, engine)
            until(lambda: _waits(engine), what="the other to wait", every_s=_LOOK_EVERY_S)
            change(connection, held)
        ended.result()
    assert count_deadlocks(engine) == before
    with reading(engine) as connection:
        if other is acknowledge:  # it is of a change that came before
            assert set(mapping.peek_sites(connection, NETWORK, ["n"])["n"]) == {ONE, TWO}
        elif other is follow:
            assert mapping.peek_sites(connection, PORT, ["p"]) == {"p": {TWO: False}}
        else:
            assert set(mapping.peek_sites(connection, NETWORK, ["n"])["n"]) == {TWO}


def count_deadlocks(engine: sa.Engine) -> int:
    with reading(engine) as connection:
        row = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").one()
        return int(row[1])
