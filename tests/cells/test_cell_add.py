"""A cell is added to a real Nova: MariaDB, RabbitMQ, nova-manage and nova-conductor are real."""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.cells.real_nova import BIN, NEW, RealNova

from isthmus.lab.compute.services import ZYGOTE_ENV
from isthmus.testing.until import until

# A RabbitMQ is no part of what `./dev test` sets up; `./dev test all` has one.
pytestmark = [pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(600)]


@pytest.fixture
def nova(real_nova: RealNova) -> Iterator[RealNova]:
    assert real_nova.is_clean()
    yield real_nova
    real_nova.clean()


def steps(out: str) -> dict[str, str]:
    return {row["step"]: row["state"] for row in json.loads(out)}


@contextlib.contextmanager
def conductor(nova: RealNova) -> Iterator[Path]:
    """Run the conductor of the new cell as its page says; give the file of what it says."""
    log = nova.folder / "conductor.log"
    files = ["--config-file", str(nova.conf), "--config-file", str(nova.cell_file)]
    env = {**os.environ, **ZYGOTE_ENV}
    with log.open("wb") as said:
        process = subprocess.Popen([str(BIN / "nova-conductor"), *files], stderr=said, env=env)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(60)


def test_the_default_cell_gets_its_second_with_a_real_conductor(nova: RealNova) -> None:
    code, out, said = nova.run("--dry-run", "-o", "json")
    assert code == 0, said
    assert steps(out)["conductor"] == "yours"
    assert {steps(out)[one] for one in ("file", "queue", "database", "mapping")} == {"to do"}
    assert nova.is_clean()
    code, _, said = nova.run()
    assert (code, f"--config-file {nova.cell_file}" in said) == (3, True), said
    assert nova.cell_file.stat().st_mode & 0o777 == 0o600
    assert nova.revision(NEW) == nova.revision("nova_cell1")
    assert nova.sql("SELECT name, disabled FROM nova_api.cell_mappings ORDER BY id")[2:] == [
        ("east", 1)
    ]
    with conductor(nova) as log:
        code, out, said = nova.run("--wait", "240", "-o", "json")
    assert code == 0, (said, log.read_text()[-3000:])
    assert "Restart each nova-scheduler, nova-api" in said
    found = steps(out)
    assert [found.pop(one) for one in ("hosts", "canary")] == ["left out", "left out"]
    assert set(found.values()) == {"done"}
    # Its own login opens its own database and its own vhost, and no other.
    own = nova.sql("SELECT database_connection FROM nova_api.cell_mappings WHERE name = 'east'")
    engine = sa.create_engine(own[0][0])
    with engine.connect() as connection:
        names = {row[0] for row in connection.exec_driver_sql("SHOW DATABASES")}
    engine.dispose()
    assert names == {"information_schema", NEW}
    assert nova.run("--dry-run")[0] == 0
    nova.announce_host("h1")
    code, out, said = nova.run("-o", "json")
    assert (code, steps(out)["hosts"]) == (0, "done"), said
    assert nova.sql("SELECT host FROM nova_api.host_mappings") == [("h1",)]
    back = ("--roll-back", "--yes", "--confirm", "east")
    code, _, said = nova.run(*back)
    assert (code, "has 1 host (h1)" in said) == (2, True), said
    nova.sql(f"DELETE FROM {NEW}.compute_nodes")
    nova.sql(f"DELETE FROM {NEW}.services WHERE `binary` = 'nova-compute'")
    code, _, said = nova.run(*back)
    assert (code, nova.is_clean()) == (0, True), said


def test_what_is_there_already_is_not_touched(nova: RealNova) -> None:
    nova.sql(f"CREATE DATABASE {NEW}")
    nova.sql(f"CREATE TABLE {NEW}.mine (id INT)")
    code, _, said = nova.run()
    assert (code, "its database would be one that is there already" in said) == (2, True), said
    assert nova.sql(f"SHOW TABLES FROM {NEW}") == [("mine",)]
    nova.sql(f"DROP DATABASE {NEW}")
    assert nova.is_clean()


BAD = {
    "database": ("mysql+pymysql://nobody:S3cret@127.0.0.1:1/", "does not answer"),
    "queue_management": ("http://guest:S3cret@127.0.0.1:1", "does not answer"),
    "reached_from": None,
}


@pytest.mark.parametrize("option", ["database", "queue_management"])
def test_a_server_that_does_not_answer_is_named(nova: RealNova, option: str) -> None:
    text = nova.servers.read_text()
    url, sentence = BAD[option] or ("", "")
    try:
        nova.servers.write_text(re.sub(rf"(?m)^{option} = .*$", f"{option} = {url}", text))
        code, out, said = nova.run()
    finally:
        nova.servers.write_text(text)
    assert (code, out, sentence in said) == (3, "", True), said
    assert "S3cret" not in said
    assert nova.is_clean()


def test_no_secret_is_seen_by_others(nova: RealNova) -> None:
    """Nobody sees a password on a command line while tables are migrated."""
    seen: set[str] = set()

    def look() -> bool:
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(one.read_bytes().decode(errors="replace"))
            except OSError:
                continue
        return process.poll() is not None

    with nova.start() as process:
        until(look, timeout_s=120)
        _, said = process.communicate()
    secret = re.findall(r"nova_east:([^@]+)@", nova.cell_file.read_text())
    assert len(set(secret)) == 1
    assert any("create_cell" in one for one in seen)
    assert not [one for one in seen if secret[0] in one]
    assert secret[0] not in said


def test_ctrl_c_ends_it_and_it_goes_on(nova: RealNova) -> None:
    with nova.start() as process:
        until(lambda: NEW in nova.databases() or process.poll() is not None, timeout_s=60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
    nova.add()
    assert nova.run("--roll-back", "--yes", "--confirm", "east")[0] == 0
    assert nova.is_clean()


def test_killed_in_the_middle_of_a_migration_that_goes_on(nova: RealNova) -> None:
    """The command is gone, nova-manage is not: the tables are made anew all the same."""
    with nova.start() as process:
        count = f"SELECT count(*) FROM information_schema.tables WHERE table_schema = '{NEW}'"
        until(lambda: nova.sql(count)[0][0] > 20, timeout_s=60)
        process.kill()
        process.communicate()
    nova.add()
    assert nova.revision(NEW) == nova.revision("nova_cell1")
    assert nova.sql(count) == [(nova.sql(count.replace(NEW, "nova_cell1"))[0][0],)]
    assert nova.run("--roll-back", "--yes", "--confirm", "east")[0] == 0
    assert nova.is_clean()


def kill_at(nova: RealNova, number: int, *, back: bool) -> bool:
    """Kill it before its nth change, and go on or back; return whether it came so far."""
    code, _, said = nova.run(number=number)
    if code == 3:
        return False
    assert code == -signal.SIGKILL, said
    if back and nova.cell_file.exists():
        code, _, said = nova.run("--roll-back", "--yes", "--confirm", "east")
        assert code == 0, said
    elif not back:
        nova.add()
        assert nova.revision(NEW) == nova.revision("nova_cell1")
        assert nova.run("--roll-back", "--yes", "--confirm", "east")[0] == 0
    assert nova.is_clean(), number
    return True


def test_killed_here_and_there_it_goes_on_or_back(nova: RealNova) -> None:
    for number in (2, 7, 10):
        assert kill_at(nova, number, back=number != 7)
