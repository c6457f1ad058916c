"""What the hot statements of the journal read, asked of the databases themselves.

MariaDB counts the rows that it takes from each index; SQLite tells its plan. Neither depends on how
fast the machine is.
"""

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from tests.ports.journal_rows import BACKED_OFF, LANES, fill

from isthmus.model.intent import IntentKey, Outcome, Settlement
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import claiming, journal, sweep
from isthmus.store.delivery import job as job_store
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import METADATA

ROWS_A_LANE = 200
LIMIT = 20
LANE = SiteName("site7")
OPERATIONS = (
    "record",
    "look",
    "look at one",
    "claim",
    "settle",
    "count",
    "release",
    "orphans",
    "times",
)
#: Rows that each may read at most on MariaDB: what it deals with, and some dives for each lane
#: where it looks at all of them. The journal has `len(LANES) * ROWS_A_LANE`.
MOST_READ = {
    "record": 40,
    "look": 12 * len(LANES),
    "look at one": 12,
    "claim": 12 * LIMIT,
    "settle": 12 * LIMIT,
    "count": 20 * len(LANES) + 2 * ROWS_A_LANE * len(LANES),
    "release": 12 * len(LANES),
    "orphans": 12 * len(LANES),
    "times": 12 * len(LANES) + 6 * ROWS_A_LANE,  # one lane has to be corrected
}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.Engine]:
    url = (
        f"sqlite:///{tmp_path_factory.mktemp('plans') / 'journal.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("mariadb_url")
    )
    made = open_engine(url)
    METADATA.create_all(made)
    with writing(made) as connection:
        fill(connection, ROWS_A_LANE)
    if request.param != "sqlite":
        with made.connect() as connection:
            connection.exec_driver_sql("ANALYZE TABLE isthmus_journal")
    yield made
    METADATA.drop_all(made)
    made.dispose()


def perform(connection: sa.Connection, operation: str) -> None:
    if operation == "record":
        keys = [IntentKey(LANE, ResourceType.PORT, f"new-{number}") for number in range(5)]
        journal.record(connection, keys)
    elif operation == "look":
        assert len(claiming.due_lanes(connection)) == len(LANES) - 1
    elif operation == "look at one":
        assert claiming.is_due(connection, LANE)
        assert not claiming.is_due(connection, BACKED_OFF)
    elif operation in {"claim", "settle"}:
        batch = claiming.claim(connection, LANE, owner="me", claim_s=60, limit=LIMIT)
        assert len(batch.claims) == LIMIT
        if operation == "settle":
            done = [Settlement(claim=one, outcome=Outcome.DONE) for one in batch.claims]
            claiming.settle(connection, done)
    elif operation == "count":
        counts = job_store.count_lanes(connection)
        assert {count.backlog for count in counts.values()} == {ROWS_A_LANE}
    elif operation == "release":
        assert sweep.release_dead(connection, lambda _owner: False) == 0
    elif operation == "times":
        assert job_store.correct_times(connection, claim_s=3600) == ROWS_A_LANE
    else:
        assert sweep.drop_orphans(connection) == 0


@contextlib.contextmanager
def heard(connection: sa.Connection) -> Iterator[list[tuple[str, object]]]:
    """Hear every statement that is run."""
    said: list[tuple[str, object]] = []

    def hear(_c: object, _cursor: object, text: str, parameters: object, *_: object) -> None:
        said.append((text, parameters))

    event.listen(connection, "before_cursor_execute", hear)
    yield said
    event.remove(connection, "before_cursor_execute", hear)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_part_of_the_journal_is_read(engine: sa.Engine, operation: str) -> None:
    with engine.connect() as connection:
        with heard(connection) as statements:
            before = count_reads(connection)
            perform(connection, operation)
            after = count_reads(connection)
        plans = [plan for one in statements for plan in explain(connection, *one)]
        connection.rollback()
    # SQLite finds no way to hop from lane to lane; it is asked once a minute, and for a lab.
    scans = [plan for plan in plans if "SCAN isthmus_journal" in plan]
    assert not scans or operation == "orphans"
    assert after - before <= MOST_READ[operation], plans


def test_one_count_stops_where_the_api_says(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        keys = [
            IntentKey(LANE, ResourceType.PORT, f"more-{n}")
            for n in range(3 * job_store.MOST_COUNTED)
        ]
        journal.record(connection, keys)
        before = count_reads(connection)
        counts = job_store.count_lanes(connection, [LANE])
        after = count_reads(connection)
        connection.rollback()
    assert counts[LANE].backlog == job_store.MOST_COUNTED
    assert after - before <= 2 * job_store.MOST_COUNTED + 100


def count_reads(connection: sa.Connection) -> int:
    """Count the rows that this connection has read; 0 where the database does not count."""
    if connection.dialect.name == "sqlite":
        return 0
    rows = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
    return sum(int(row[1]) for row in rows)


def explain(connection: sa.Connection, text: str, parameters: object) -> list[str]:
    """Give what SQLite plans to do for a statement; what MariaDB does, for the message."""
    if text.lstrip().split()[0].upper() not in {"SELECT", "UPDATE", "DELETE"}:
        return []
    word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    if isinstance(parameters, list):
        parameters = parameters[0]
    rows = connection.exec_driver_sql(f"{word} {text}", parameters)  # type: ignore[arg-type]
    return [" ".join(str(value) for value in row) for row in rows]
