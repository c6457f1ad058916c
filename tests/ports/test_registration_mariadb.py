"""Registrations where transactions have snapshots: central recovers with the last one, and once."""

import functools
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus import errors
from isthmus.model import number
from isthmus.model.site import SiteName
from isthmus.store.delivery import lane as lane_store
from isthmus.store.sql.tables import (
    EPOCHS,
    JOURNAL,
    LANES,
    METADATA,
    NAMED_LEASES,
    NAMED_NUMBERS,
    NAMED_PORTS,
    REGISTRATIONS,
    SITE_MAPPINGS,
    SITES,
)
from isthmus.store.tiers import epoch, named_port, registration
from isthmus.testing.until import until

pytestmark = pytest.mark.db

ONE, TWO = SiteName("site1"), SiteName("site2")


def nobody(_connection: sa.Connection, move: named_port.Move) -> None:
    raise AssertionError(f"{move} moves, and no port should")


@pytest.fixture(params=["REPEATABLE READ", "READ COMMITTED"])
def engine(mariadb_url: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = sa.create_engine(mariadb_url, isolation_level=request.param)
    tables = [NAMED_PORTS, EPOCHS, JOURNAL, LANES, NAMED_LEASES, NAMED_NUMBERS, REGISTRATIONS]
    tables += [SITE_MAPPINGS, SITES]
    METADATA.create_all(engine)
    neutron_rows.METADATA.create_all(engine)
    with engine.begin() as connection:
        for table in tables:
            connection.execute(sa.delete(table))
        epoch.read(connection)
        for name in (ONE, TWO):
            registration.put(connection, name, f"row-{name}", 1, welcome=nobody)
        epoch.begin(connection, "restored")
        # `begin` keeps what `isthmus_sites` names; here the registrations are all there is.
        for name in (ONE, TWO):
            connection.execute(
                sa.insert(REGISTRATIONS).values(
                    site=name, registration=f"row-{name}", epoch=1, waits=True
                )
            )
    yield engine
    with engine.begin() as connection:
        for table in tables:
            connection.execute(sa.delete(table))
    engine.dispose()


def is_recovered(engine: sa.Engine) -> bool:
    with engine.begin() as connection:
        found = epoch.peek(connection)
        assert found is not None
        return found.recovered


LAST: dict[str, Callable[[sa.Connection, SiteName], object]] = {
    "register": lambda connection, site: registration.put(
        connection, site, "row", 2, welcome=nobody
    ),
    "go on without": functools.partial(registration.go_on_without, welcome=nobody),
    "remove": functools.partial(registration.forget, welcome=nobody),
}


@pytest.mark.parametrize("how", sorted(LAST))
def test_central_recovers_with_the_last_of_two_at_once(engine: sa.Engine, how: str) -> None:
    """Neither sees the other's commit when it begins, and one of them is the last."""
    end, began, failed = threading.Event(), threading.Event(), []

    def other() -> None:
        try:
            with engine.begin() as connection:
                connection.execute(sa.select(REGISTRATIONS)).all()  # a snapshot
                began.set()
                LAST[how](connection, TWO)
        except sa.exc.DBAPIError as error:
            failed.append(error)
        end.set()

    thread = threading.Thread(target=other)
    with engine.begin() as connection:
        connection.execute(sa.select(REGISTRATIONS)).all()
        thread.start()
        until(began.is_set, timeout_s=60, what="the other has begun")
        LAST["register"](connection, ONE)
        # Without a common lock the other one goes through here, and sees this one wait.
        end.wait(1.0)
    thread.join(60)
    assert not failed
    with engine.begin() as connection:
        assert epoch.list_waiting(connection) == []
    assert is_recovered(engine)


def test_no_allocation_waits_for_who_begins_an_epoch(engine: sa.Engine) -> None:
    """Nor for a hello, nor these for an allocation: the row is nobody's queue."""
    with engine.begin() as connection:
        for name in (ONE, TWO):
            registration.go_on_without(connection, name, welcome=nobody)
    with engine.begin() as allocation, engine.begin() as hello, engine.begin() as other:
        for one in (allocation, hello, other):
            one.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 1"))
        epoch.require_recovered(allocation)
        own = epoch.read(hello)
        assert own.recovered
        epoch.require_recovered(other)
        assert epoch.peek(other) == own
        assert registration.find(other, ONE) is not None
        begun = epoch.begin(hello, "restored")
        epoch.require_recovered(allocation)
    assert not is_recovered(engine)
    with engine.begin() as later, pytest.raises(errors.Busy, match="restored"):
        epoch.require_recovered(later)
    assert begun.epoch == own.epoch + 1


def test_no_lane_is_numbered_by_what_cannot_be(engine: sa.Engine) -> None:
    claimed = number.make((1 << number.EPOCH_BITS) - 3, 7)
    with engine.begin() as connection:
        lane_store.next_sequence(connection, ONE)
        before = {name: lane_store.next_sequence(connection, name) for name in (ONE, TWO)}
        assert not lane_store.go_on_above(connection, ONE, claimed)
    with pytest.raises(errors.Inconsistent), engine.begin() as connection:
        epoch.begin(connection, "restored", above=number.epoch_of(claimed))
    with engine.begin() as connection:
        assert {name: lane_store.peek(connection, name)[0] for name in (ONE, TWO)} == before


def test_who_is_asked_again_while_it_registers_registers_once_more(engine: sa.Engine) -> None:
    """A lease that it named was decided after it had been read what it was told of."""
    with engine.begin() as connection:
        registration.ask_again(connection, ONE)
    with engine.begin() as connection:
        read = registration.find(connection, ONE)
        assert read is not None
    with engine.begin() as connection:
        registration.ask_again(connection, ONE)
    for left in (1, 0):
        with engine.begin() as connection:
            registration.put(connection, ONE, "row-site1", 1, before=read, welcome=nobody)
            read = registration.find(connection, ONE)
            assert read is not None
            assert read.again == left
