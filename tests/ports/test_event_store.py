"""Events of central's database, on SQLite and on MariaDB."""

import datetime
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus import errors
from isthmus.model.intent import Event, IntentKey, Outcome, Settlement, What
from isthmus.model.item import ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, Reachability, Site, SiteName
from isthmus.store.delivery import claiming, event, journal, refusal, told
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql import clock
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.page import Page
from isthmus.store.sql.tables import EVENTS, JOURNAL, METADATA
from isthmus.store.tiers import site

ONE, TWO = SiteName("site1"), SiteName("site2")
P1 = IntentKey(ONE, ResourceType.PORT, "p1")


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    url = (
        f"sqlite:///{tmp_path / 'central.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("mariadb_url")
    )
    made = open_engine(url)
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.create_all(made)
    yield made
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.drop_all(made)
    made.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with writing(engine) as opened:
        yield opened


def happened(what: What, at: SiteName | str = ONE, **more: str) -> Event:
    return Event(what=what, who="somebody", site=at, **more)


def whats(connection: sa.Connection, **more: Any) -> list[str]:
    page = Page(sorts=[("number", True)])
    rows = event.list_page(connection, filters=more.pop("filters", {}), page=page, **more)
    return [row["what"] for row in rows]


def grow_old(connection: sa.Connection, hours: float, *which: sa.ColumnElement[bool]) -> None:
    then = clock.read(connection) - datetime.timedelta(hours=hours)
    connection.execute(sa.update(EVENTS).where(*which).values(created_at=then))


def test_events_are_listed_by_what_they_are_about_and_by_time(connection: sa.Connection) -> None:
    event.record(connection, happened(What.SITE_UNREACHABLE))
    event.record(connection, happened(What.JOB_PARKED, TWO, type="port", resource_id="p1"))
    grow_old(connection, 2)
    event.record(connection, happened(What.JOB_RETRIED, TWO, type="port", resource_id="p1"))
    unreachable, parked, retried = "site.unreachable", "job.parked", "job.retried"
    assert whats(connection) == [unreachable, parked, retried]
    assert whats(connection, filters={"site": [TWO]}) == [parked, retried]
    assert whats(connection, filters={"resource_id": ["p1"]}) == [parked, retried]
    assert whats(connection, filters={"what": ["site"]}) == [unreachable]
    assert whats(connection, filters={"what": ["site.unreachable", "job.retried"]}) == [
        unreachable,
        retried,
    ]
    assert whats(connection, since=3600.0) == [retried]
    assert whats(connection, until=3600.0) == [unreachable, parked]
    assert whats(connection, since=3 * 3600.0, until=3600.0) == [unreachable, parked]
    moment = clock.read(connection).replace(tzinfo=None) - datetime.timedelta(hours=1)
    assert whats(connection, since=moment) == [retried]
    assert whats(connection, until=moment) == [unreachable, parked]
    with pytest.raises(errors.Invalid, match="'jo' is nothing that events tell of"):
        whats(connection, filters={"what": ["jo"]})


def test_only_what_is_too_old_or_too_much_of_its_site_is_dropped(
    connection: sa.Connection,
) -> None:
    event.record(connection, happened(What.SITE_CREATED, TWO))
    grow_old(connection, 3)
    for _ in range(3):
        event.record(connection, happened(What.SITE_UNREACHABLE))
        event.record(connection, happened(What.SITE_REACHABLE))
    event.record(connection, happened(What.CENTRAL_RECOVERED, ""))
    assert event.drop_old(connection, keep_s=4 * 3600, most=6) == 0
    # The noisy site loses its own oldest ones, and nobody else anything.
    assert event.drop_old(connection, keep_s=4 * 3600, most=2) == 4
    assert whats(connection) == [
        "site.created",
        "site.unreachable",
        "site.reachable",
        "central.recovered",
    ]
    assert event.drop_old(connection, keep_s=3600, most=2) == 1
    assert whats(connection, filters={"site": [TWO]}) == []
    assert event.drop_old(connection, keep_s=3600, most=2) == 0


def test_a_site_that_answers_no_more_is_told_once_each_time(connection: sa.Connection) -> None:
    one = Site(name=ONE, region="r", availability_zones=("z",), service_user="u")
    moment = clock.read(connection)
    site.insert(connection, one, now=moment)
    for reachability, error in (
        (Reachability.REACHABLE, ""),
        (Reachability.REACHABLE, ""),
        (Reachability.UNREACHABLE, "no route"),
        (Reachability.UNREACHABLE, "no route"),
        (Reachability.REACHABLE, ""),
    ):
        site.record_reachability(connection, ONE, reachability, now=moment, error=error)
        site.record_reachability(connection, TWO, reachability, now=moment)  # there is none
    rows = event.list_page(connection, filters={}, page=Page(sorts=[("number", True)]))
    assert [(row["site"], row["what"], row["details"], row["who"]) for row in rows] == [
        (ONE, "site.reachable", "", "xjob"),
        (ONE, "site.unreachable", "no route", "xjob"),
        (ONE, "site.reachable", "", "xjob"),
    ]


def deliver(engine: sa.Engine, outcome: Outcome, error: str = "") -> None:
    """Have a worker carry the job of p1."""
    jobs = SqlJournal(engine, tell=told.record_settled)
    (claim,) = jobs.claim(ONE, owner="w", claim_s=60, limit=10).claims
    jobs.settle([Settlement(claim=claim, outcome=outcome, error=error)])


def see(engine: sa.Engine) -> list[str]:
    with writing(engine) as connection:
        return whats(connection)


def make_due(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        job_store.retry_parked(connection, ONE)


def test_a_job_that_is_parked_is_told_once_for_a_reason_and_so_is_its_end(
    engine: sa.Engine,
) -> None:
    with writing(engine) as connection:
        journal.record(connection, [P1])
    deliver(engine, Outcome.AGAIN, "in use")
    with writing(engine) as connection:
        connection.execute(sa.update(JOURNAL).values(not_before=None))
    deliver(engine, Outcome.PARKED, "in use")
    for _ in range(3):  # as each five minutes
        make_due(engine)
        deliver(engine, Outcome.PARKED, "in use")
    assert see(engine) == ["job.parked"]
    make_due(engine)
    deliver(engine, Outcome.PARKED, "no such VLAN")
    make_due(engine)
    deliver(engine, Outcome.DONE)
    assert see(engine) == ["job.parked", "job.parked", "job.done"]
    # One that was never parked leaves no word, though it failed.
    with writing(engine) as connection:
        journal.record(connection, [P1])
    deliver(engine, Outcome.AGAIN, "later")
    deliver_later = sa.update(JOURNAL).values(not_before=None)
    with writing(engine) as connection:
        connection.execute(deliver_later)
    deliver(engine, Outcome.DONE)
    assert see(engine) == ["job.parked", "job.parked", "job.done"]


def test_one_that_changed_while_it_was_refused_is_not_parked_and_not_told(
    engine: sa.Engine,
) -> None:
    with writing(engine) as connection:
        journal.record(connection, [P1])
    jobs = SqlJournal(engine, tell=told.record_settled)
    (claim,) = jobs.claim(ONE, owner="w", claim_s=60, limit=10).claims
    with writing(engine) as connection:
        journal.record(connection, [P1])
    jobs.settle([Settlement(claim=claim, outcome=Outcome.PARKED, error="no")])
    assert see(engine) == []


def test_what_is_refused_of_reports_is_told_at_central_alone(connection: sa.Connection) -> None:
    moment = clock.read(connection)
    result = ItemResult(
        type=ResourceType.PORT, id="p1", code="isthmus.refused", message="not yours"
    )
    for at in (ONE, ONE, CENTRAL):
        refusal.record(connection, SiteName(at), result, now=moment)
    assert whats(connection) == ["report.refused"]
    assert refusal.delete(connection, ONE, "p1")
    assert not refusal.delete(connection, ONE, "p1")
    assert refusal.delete(connection, SiteName(CENTRAL), "p1")
    assert whats(connection) == ["report.refused", "report.taken"]


def test_an_event_of_what_did_not_happen_is_not_there(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        transaction = connection.begin()
        journal.record(connection, [P1])
        batch = claiming.claim(connection, ONE, owner="w", claim_s=60, limit=10)
        settled = claiming.settle(
            connection, [Settlement(claim=batch.claims[0], outcome=Outcome.PARKED, error="no")]
        )
        told.record_settled(connection, settled)
        assert whats(connection) == ["job.parked"]
        transaction.rollback()
    assert see(engine) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", "9" * 30),
        ("number", "1e3"),
        ("created_at", "0001-01-01T00:00:00+14:00"),
        ("created_at", "9999-12-31T23:59:59-14:00"),
        ("site", "\ud800"),
    ],
)
def test_a_filter_that_no_database_knows_is_invalid(
    connection: sa.Connection, name: str, value: str
) -> None:
    with pytest.raises(errors.Invalid, match=f"is no value of {name}"):
        whats(connection, filters={name: [value]})


def test_a_site_that_answers_with_half_a_character_has_its_job_parked(engine: sa.Engine) -> None:
    said = '{"type": "port", "id": "p1", "code": "isthmus.refused", "message": "no \\ud800"}'
    result = ItemResult.from_dict(json.loads(said))
    with writing(engine) as connection:
        journal.record(connection, [P1])
    deliver(engine, Outcome.PARKED, result.message)
    with writing(engine) as connection:
        (row,) = event.list_page(connection, filters={}, page=Page())
    assert (row["what"], row["details"]) == ("job.parked", "no ?")


def test_what_a_hostile_site_says_is_cut(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        for text in ("x" * 10**6, "\U0001f600" * 10**4):
            event.record_news(connection, happened(What.JOB_PARKED, details=text))
            event.record_news(connection, happened(What.JOB_PARKED, details=text))
    with writing(engine) as connection:
        rows = event.list_page(connection, filters={}, page=Page(sorts=[("number", True)]))
    assert [row["details"] for row in rows] == ["x" * 2000, "\U0001f600" * 2000]


def test_workers_that_drop_at_once_drop_the_same(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        for _ in range(1200):
            event.record(connection, happened(What.SITE_UNREACHABLE))
        event.record(connection, happened(What.SITE_CREATED, TWO))

    def drop(_worker: int) -> int:
        with writing(engine) as connection:
            return event.drop_old(connection, keep_s=3600, most=10)

    with ThreadPoolExecutor(4) as workers:
        dropped = sum(workers.map(drop, range(4)))
    assert dropped == 1190
    assert see(engine) == [*["site.unreachable"] * 10, "site.created"]


def test_a_clock_that_is_set_back_changes_no_order(connection: sa.Connection) -> None:
    event.record(connection, happened(What.SITE_UNREACHABLE))
    grow_old(connection, -5)  # told by a clock that was ahead
    event.record(connection, happened(What.SITE_REACHABLE))
    assert whats(connection) == ["site.unreachable", "site.reachable"]
    assert event.drop_old(connection, keep_s=3600, most=1) == 1
    assert whats(connection) == ["site.reachable"]
