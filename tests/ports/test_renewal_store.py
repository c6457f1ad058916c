"""Renewals that somebody asked for, and what is compared of one network: SQLite and MariaDB."""

import datetime
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from tests.ports import neutron_rows
from tests.ports.database_clock import drive

from isthmus import errors
from isthmus.model.intent import IntentKey, Outcome, RenewalState, Settlement
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import claiming, journal, renewal
from isthmus.store.delivery.renewal_engine import SqlRenewals
from isthmus.store.leases import holding
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.page import Page
from isthmus.store.sql.tables import LOCATIONS, METADATA, SHADOWS, SITE_MAPPINGS
from isthmus.testing.clock import FakeClock

ONE, TWO = SiteName("site1"), SiteName("site2")
T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables
CLOCK = FakeClock()  #: the database's


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    url = (
        f"sqlite:///{tmp_path / 'renewals.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("mariadb_url")
    )
    made = open_engine(url)
    drive(made, CLOCK)
    CLOCK.set(T0)
    METADATA.create_all(made)
    neutron_rows.METADATA.create_all(made)
    yield made
    METADATA.drop_all(made)
    neutron_rows.METADATA.drop_all(made)
    made.dispose()


def ask(engine: sa.Engine, site: SiteName = ONE, network: str | None = None) -> str:
    with writing(engine) as connection:
        return renewal.request(connection, site, network)


def show(engine: sa.Engine, request_id: str) -> dict[str, Any]:
    with reading(engine) as connection:
        (row,) = renewal.list_page(connection, filters={"id": [request_id]}, page=Page())
    return row


def test_a_request_is_kept_until_a_worker_has_done_it(engine: sa.Engine) -> None:
    asked = ask(engine)
    assert ask(engine) == asked, "nobody has begun it"
    CLOCK.move(1)
    narrow = ask(engine, network="n1")
    assert ask(engine, network="n1") == narrow != asked
    first = SqlRenewals(engine, "a")
    assert not first.take([TWO])
    (taken,) = first.take([ONE, TWO])
    assert (taken.id, taken.site, taken.network_id) == (asked, ONE, "")
    assert not first.take([ONE], [asked]), "once, and none besides it"
    assert not SqlRenewals(engine, "b").take([ONE])
    CLOCK.move(1)
    again = ask(engine)
    assert again != asked, "what has begun may have passed what this one is about"
    assert ask(engine) == again
    first.record(asked, RenewalState.COMPARING, pages=3, noted=1, error="away")
    row = show(engine, asked)
    assert (row["state"], row["pages"], row["noted"], row["last_error"]) == (
        "comparing",
        3,
        1,
        "away",
    )
    SqlRenewals(engine, "b").record(asked, RenewalState.DONE, pages=9, noted=9, error="")
    assert show(engine, asked)["state"] == "comparing", "it is not that worker's"
    first.record(asked, RenewalState.DONE, pages=4, noted=1, error="")
    row = show(engine, asked)
    assert (row["state"], row["pages"], row["last_error"]) == ("done", 4, "")
    assert row["ended_at"] is not None
    taken = first.take([ONE], [])[0]
    assert (taken.id, taken.network_id) == (narrow, "n1")


def test_what_a_worker_leaves_another_begins_again(engine: sa.Engine) -> None:
    first, second = SqlRenewals(engine, "a"), SqlRenewals(engine, "b")
    asked = ask(engine)
    assert len(first.take([ONE])) == 1
    first.record(asked, RenewalState.COMPARING, pages=3, noted=1, error="")
    first.release([TWO])
    assert not second.take([ONE])
    first.release([ONE])
    assert [one.id for one in second.take([ONE])] == [asked]
    assert show(engine, asked)["pages"] == 0
    second.release_dead(lambda owner: owner == "a")
    assert not first.take([ONE])
    second.release_dead(lambda owner: owner == "b")
    assert len(first.take([ONE])) == 1
    # One of another machine is given up after a while, unless it says that it is there.
    CLOCK.move(50)
    assert not first.take([ONE], [asked])
    CLOCK.move(50)
    assert not second.take([ONE])
    CLOCK.move(50)
    assert [one.id for one in second.take([ONE])] == [asked]


def test_what_a_worker_does_not_know_that_it_took_on_is_taken_on_again(engine: sa.Engine) -> None:
    """The answer of the commit was lost: nobody compares, and the row says that somebody does."""
    worker = SqlRenewals(engine, "a")
    asked, far = ask(engine), ask(engine, TWO)
    assert [one.id for one in worker.take([ONE])] == [asked]
    assert [one.id for one in worker.take([ONE, TWO], [])] == [far]
    CLOCK.move(50)
    assert not worker.take([ONE, TWO], [far])
    CLOCK.move(50)
    assert [one.id for one in worker.take([ONE, TWO], [far])] == [asked]


@pytest.mark.db
def test_two_that_ask_at_once_wait_for_no_gap(mariadb_url: str) -> None:
    """Neutron's isolation level: what searches for rows to delete locks where others insert."""
    engine = sa.create_engine(mariadb_url, isolation_level="REPEATABLE READ")
    METADATA.create_all(engine)
    both = threading.Barrier(2, timeout=30)

    def meet(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT"):
            both.wait()

    event.listen(engine, "before_cursor_execute", meet)

    def run(site: SiteName) -> str:
        with engine.begin() as connection:
            return renewal.request(connection, site)

    try:
        with ThreadPoolExecutor(2) as pool:
            assert len(set(pool.map(run, (ONE, TWO)))) == 2
    finally:
        METADATA.drop_all(engine)
        engine.dispose()


def test_what_waits_for_a_site_that_is_disabled_ends_with_a_word(engine: sa.Engine) -> None:
    worker = SqlRenewals(engine, "a")
    begun, other = ask(engine), ask(engine, TWO)
    worker.take([ONE])
    waits = ask(engine)
    with writing(engine) as connection:
        renewal.end_of_disabled(connection, ONE)
    for one in (begun, waits):
        row = show(engine, one)
        assert (row["state"], row["last_error"]) == ("failed", "the site was disabled")
        assert row["ended_at"] is not None
    worker.record(begun, RenewalState.COMPARING, pages=3, noted=1, error="")
    assert show(engine, begun)["state"] == "failed", "whoever was at it hears that it is over"
    assert show(engine, other)["state"] == "waiting"


def test_no_more_wait_than_anybody_needs(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "MOST_WAITING", 3)
    asked = [ask(engine, network=f"n{one}") for one in range(3)]
    ask(engine, TWO)
    with pytest.raises(errors.Conflict, match="3 comparisons of site site1 wait already"):
        ask(engine, network="n3")
    assert ask(engine, network="n1") == asked[1]
    assert ask(engine) not in asked, "what the refusal says to do is accepted"


def test_what_ended_long_ago_is_forgotten_and_what_a_site_leaves_goes(engine: sa.Engine) -> None:
    worker = SqlRenewals(engine, "a")
    asked, other = ask(engine), ask(engine, TWO)
    worker.take([ONE])
    worker.record(asked, RenewalState.FAILED, pages=0, noted=0, error="no such path")
    CLOCK.move(3600)
    worker.drop_ended()
    assert show(engine, asked)["last_error"] == "no such path"
    CLOCK.move(90_000)
    worker.drop_ended()
    with writing(engine) as connection:
        rows = renewal.list_page(connection, filters={}, page=Page())
        assert asked not in {row["id"] for row in rows}
        renewal.delete_site(connection, ONE)
        rows = renewal.list_page(connection, filters={}, page=Page())
    assert [row["id"] for row in rows] == [other]


def test_it_shows_what_is_left_of_what_it_found(engine: sa.Engine) -> None:
    def note(*names: str, lane: SiteName = ONE) -> None:
        with writing(engine) as connection:
            journal.record(connection, [IntentKey(lane, ResourceType.PORT, one) for one in names])

    note("before")
    CLOCK.move(10)
    asked = ask(engine)
    worker = SqlRenewals(engine, "a")
    worker.take([ONE])
    CLOCK.move(10)
    note("one", "two")
    note("far", lane=TWO)
    worker.record(asked, RenewalState.DONE, pages=1, noted=2, error="")
    CLOCK.move(10)
    note("after")
    row = show(engine, asked)
    assert (row["jobs"], row["parked"]) == (2, 0)
    with writing(engine) as connection:
        batch = claiming.claim(connection, ONE, owner="a", claim_s=60, limit=10)
        claims = {one.key.id: one for one in batch.claims}
        claiming.settle(
            connection,
            [
                Settlement(claim=claims["one"], outcome=Outcome.PARKED, error="no"),
                Settlement(claim=claims["two"], outcome=Outcome.DONE),
            ],
        )
    row = show(engine, asked)
    assert (row["jobs"], row["parked"]) == (0, 1)


def test_a_clock_that_is_set_back_hides_nothing_of_what_is_left(engine: sa.Engine) -> None:
    """It was called done while what it had found was under way."""
    asked = ask(engine)
    worker = SqlRenewals(engine, "w")
    assert worker.take([ONE])
    CLOCK.move(-3600)
    with writing(engine) as connection:
        journal.record(connection, [IntentKey(ONE, ResourceType.PORT, "p1")])
    worker.record(asked, RenewalState.DONE, pages=1, noted=1, error="")
    assert show(engine, asked)["jobs"] == 1
    CLOCK.move(1)
    assert show(engine, asked)["jobs"] == 1


def test_a_clock_that_is_set_back_while_it_runs_hides_nothing(engine: sa.Engine) -> None:
    CLOCK.move(10)
    asked = ask(engine)
    worker = SqlRenewals(engine, "w")
    assert worker.take([ONE])
    CLOCK.move(60)
    with writing(engine) as connection:
        journal.record(connection, [IntentKey(ONE, ResourceType.PORT, "p1")])
    CLOCK.move(-50)
    worker.record(asked, RenewalState.DONE, pages=1, noted=1, error="")
    assert show(engine, asked)["jobs"] == 1


def test_only_what_is_on_a_network_is_compared_with_it(engine: sa.Engine) -> None:
    mapped = [
        (ResourceType.NETWORK, "n1"),
        (ResourceType.NETWORK, "n2"),
        (ResourceType.SUBNET, "s1"),
        (ResourceType.SUBNET, "s2"),
        (ResourceType.SUBNET, "s-gone"),
        (ResourceType.PORT, "p1"),
        (ResourceType.PORT, "p2"),
        (ResourceType.PORT, "p-gone"),
    ]
    tables = neutron_rows.TABLES
    with writing(engine) as connection:
        for at, (kind, one) in enumerate(mapped):
            connection.execute(
                sa.insert(SITE_MAPPINGS).values(
                    type=kind.value, resource_id=one, site=ONE, id=f"m{at}", created_at=T0
                )
            )
        for name, table in (("s", "subnets"), ("p", "ports")):
            for number in (1, 2):
                row = {"id": f"{name}{number}", "network_id": f"n{number}"}
                connection.execute(sa.insert(tables[table]).values(**row))
        for number in (1, 2):
            far = {"port_id": f"q{number}", "network_id": f"n{number}"}
            connection.execute(sa.insert(LOCATIONS).values(site=TWO, port_key=number, **far))
            connection.execute(
                sa.insert(SHADOWS).values(chassis="c", port_key=number, state="{}", **far)
            )

    def wanted(kind: ResourceType) -> list[str]:
        with reading(engine) as connection:
            return holding.list_wanted(connection, ONE, kind, "", 100, network="n1")

    def held(kind: ResourceType) -> list[str]:
        with reading(engine) as connection:
            return holding.list_held(connection, kind, "", "", network="n1")

    assert wanted(ResourceType.NETWORK) == held(ResourceType.NETWORK) == ["n1"]
    # What central has no more is of no network: the site says whether it has it.
    assert (wanted(ResourceType.SUBNET), held(ResourceType.SUBNET)) == (["s-gone", "s1"], ["s1"])
    assert (wanted(ResourceType.PORT), held(ResourceType.PORT)) == (["p-gone", "p1"], ["p1"])
    assert wanted(ResourceType.SHADOW) == held(ResourceType.SHADOW) == ["q1"]
