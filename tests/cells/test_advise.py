"""`isthmus cell advise` on a real MariaDB and RabbitMQ, idle and loaded."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.real_nova import RealNova

from isthmus.cli import main
from isthmus.clients.compute.rabbitmq import RabbitManagement
from isthmus.errors import Unreachable
from isthmus.store.nova.server.load import collect_report_age, open_load
from isthmus.testing.until import until

# A RabbitMQ is no part of what `./dev test` sets up; `./dev test all` has one.
pytestmark = [pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(600)]
CELL = "nova_cell1"


@pytest.fixture
def nova(real_nova: RealNova) -> Iterator[RealNova]:
    management = RabbitManagement(real_nova.rabbit.management, 10)
    queue = f"rabbit://nova:S3cret@{real_nova.rabbit.queue}/cell1"
    management.ensure(queue)
    real_nova.sql("FLUSH STATUS")
    yield real_nova
    management.drop(queue)


def advise(
    nova: RealNova, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, Any], str]:
    files = ["--nova-conf", str(nova.conf), "--servers", str(nova.servers)]
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "advise", "--for", "1", *files, "-o", "json", *words])
    said = capsys.readouterr()
    (row,) = json.loads(said.out)
    return int(end.value.code or 0), row, " ".join(said.err.split())


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {one["measure"]: one["share"] for one in row["numbers"]}


@contextlib.contextmanager
def connections(nova: RealNova, count: int) -> Iterator[list[sa.Connection]]:
    engine = sa.create_engine(nova.url(CELL), poolclass=sa.NullPool)
    with contextlib.ExitStack() as held:
        yield [held.enter_context(engine.connect()) for _ in range(count)]


def test_an_idle_cell_stays(nova: RealNova, capsys: pytest.CaptureFixture[str]) -> None:
    code, row, said = advise(nova, capsys)
    assert (code, row["advice"], said) == (0, "stay", "")
    assert row["statements_s"] > 0
    shares = numbers(row)
    assert set(shares) == {
        "connections of the database",
        "answer of the database",
        "sessions that wait for rows",
        "memory of RabbitMQ",
        "file descriptors of RabbitMQ",
        "alarms of RabbitMQ",
        "messages that nobody takes",
    }
    assert shares["memory of RabbitMQ"] > 0


def test_connections_come_to_their_limit(
    nova: RealNova, capsys: pytest.CaptureFixture[str]
) -> None:
    before = nova.sql("SELECT @@max_connections")[0][0]
    try:
        nova.sql("SET GLOBAL max_connections = 40")
        with connections(nova, 26):
            code, row, _ = advise(nova, capsys)
            assert (code, row["advice"]) == (1, "add")
            assert "connections of the database" in row["why"]
            assert "raise max_connections" in row["why"]
        with connections(nova, 33):
            # Nobody can be parted from a cell without hosts.
            assert advise(nova, capsys)[1]["advice"] == "add"
        # It was so since the server started, and may be so again.
        assert advise(nova, capsys)[1]["advice"] == "add"
        nova.sql("FLUSH STATUS")
        assert advise(nova, capsys)[1]["advice"] == "stay"
    finally:
        nova.sql(f"SET GLOBAL max_connections = {before}")


def test_sessions_that_wait_for_a_row_are_counted(nova: RealNova) -> None:
    nova.sql(f"INSERT INTO {CELL}.s3_images (id, uuid, deleted) VALUES (1, 'u', 0)")
    write = f"UPDATE {CELL}.s3_images SET uuid = 'v' WHERE id = 1"

    def wait(connection: sa.Connection) -> None:
        connection.exec_driver_sql(write)
        connection.rollback()

    try:
        with connections(nova, 5) as (holder, *others):
            holder.exec_driver_sql(write)
            threads = [threading.Thread(target=wait, args=(one,)) for one in others]
            for one in threads:
                one.start()
            status = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
            until(lambda: int(nova.sql(status)[0][1]) == 4)
            with open_load(nova.url(CELL), 10) as end:
                assert end().lock_wait >= 4
            holder.rollback()
            for one in threads:
                one.join(60)
        until(lambda: int(nova.sql(status)[0][1]) == 0)
        with open_load(nova.url(CELL), 10) as end:
            assert end().lock_wait == 0
    finally:
        nova.sql(f"DELETE FROM {CELL}.s3_images")


def test_hosts_that_report_late_are_seen(nova: RealNova) -> None:
    url = nova.url(CELL)
    assert collect_report_age(url, 100, 10) is None
    for host, age in (("h1", 5), ("h2", 60), ("h3", 500)):
        nova.sql(
            f"INSERT INTO {CELL}.services (last_seen_up, host, `binary`, topic, report_count, "
            f"disabled, forced_down, version, deleted) VALUES (UTC_TIMESTAMP() - INTERVAL {age} "
            f"SECOND, '{host}', 'nova-compute', 'compute', 1, 0, 0, 70, 0)"
        )
    try:
        found = collect_report_age(url, 100, 10)
        assert found is not None
        assert 0.6 <= found < 0.9  # the one of 500 is down, which is another matter
    finally:
        nova.sql(f"DELETE FROM {CELL}.services WHERE `binary` = 'nova-compute'")


def test_what_was_not_measured_is_not_taken_for_idle(
    nova: RealNova, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise Unreachable("RabbitMQ's management API does not answer")

    monkeypatch.setattr(RabbitManagement, "get", silent)
    code, row, said = advise(nova, capsys)
    assert (code, row["advice"]) == (1, "unknown")
    assert "does not answer" in row["why"]
    assert "Of cell cell1 not all was measured" in said
    assert row["messages_s"] is None
