"""A cell is added to a real Nova: MariaDB, RabbitMQ, nova-manage and nova-conductor are real."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.rabbit import Rabbit

from isthmus.clients.compute.rabbitmq import RabbitManagement
from isthmus.testing.until import until

pytestmark = [pytest.mark.db, pytest.mark.timeout(600)]
KILLED = Path(__file__).parent / "killed.py"
BIN = Path(sys.executable).parent
OLD = ("nova_api", "nova_cell0", "nova_cell1")
NEW = "nova_east"


class Nova:
    """A Nova with its one default cell, as deployments have it, and the files of a controller."""

    def __init__(self, folder: Path, root: str, rabbit: Rabbit) -> None:
        self.folder, self.root, self.rabbit = folder, root, rabbit
        self.engine = sa.create_engine(root.replace("/isthmus?", "/mysql?"))
        for name in OLD:
            self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
        self.conf = folder / "nova.conf"
        self.conf.write_text(
            f"[DEFAULT]\ntransport_url = rabbit://guest:guest@{rabbit.queue}/\n"
            f"state_path = {folder}\nuse_stderr = true\n"
            f"[oslo_concurrency]\nlock_path = {folder}/lock\n[conductor]\nworkers = 1\n"
            f"[api_database]\nconnection = {self.url('nova_api')}\n"
            f"[database]\nconnection = {self.url('nova_cell1')}\n"
        )
        self.servers = folder / "cells.conf"
        self.servers.write_text(
            f"[cell_servers]\ndatabase = {self.url('')}\nqueue = {rabbit.queue}\n"
            f"queue_management = {rabbit.management}\nreached_from = localhost\n"
        )
        self.cell_file = folder / "cell-east.conf"
        create = [sys.executable, "-m", "isthmus.nova.create", str(self.conf), "1"]
        done = subprocess.run(create, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    def url(self, name: str) -> str:
        return self.root.replace("/isthmus?", f"/{name}?")

    def sql(self, statement: str) -> list[Any]:
        with self.engine.begin() as connection:
            found = connection.exec_driver_sql(statement)
            return [tuple(row) for row in found] if found.returns_rows else []

    def databases(self) -> set[str]:
        return {row[0] for row in self.sql("SHOW DATABASES LIKE 'nova%%'")}

    def users(self) -> set[str]:
        return {row[0] for row in self.sql("SELECT user FROM mysql.user WHERE user LIKE 'nova%%'")}

    def vhosts(self) -> set[str]:
        return {one["name"] for one in RabbitManagement(self.rabbit.management, 10).get("vhosts")}

    def revision(self, database: str) -> str:
        return str(self.sql(f"SELECT version_num FROM {database}.alembic_version")[0][0])

    def start(self, *words: str, number: int | None = None) -> "subprocess.Popen[str]":
        command = [BIN / "isthmus"] if number is None else [KILLED, str(number)]
        files = ["--nova-conf", self.conf, "--servers", self.servers]
        wait = ["--wait", "0"] if "--wait" not in words else []
        python = [] if number is None else [sys.executable, "-W", "ignore"]
        return subprocess.Popen(
            [*python, *command, "cell", "add", "east", *words, *files, *wait],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def run(self, *words: str, number: int | None = None) -> tuple[int, str, str]:
        with self.start(*words, number=number) as process:
            out, err = process.communicate(timeout=300)
            return process.returncode, out, " ".join(err.split())

    def announce(self, binary: str, host: str) -> None:
        """Have a service of the new cell announce itself."""
        self.sql(
            f"INSERT INTO {NEW}.services (created_at, last_seen_up, host, `binary`, topic, "
            f"report_count, disabled, forced_down, version, deleted) VALUES (UTC_TIMESTAMP(), "
            f"UTC_TIMESTAMP(), '{host}', '{binary}', 't', 1, 0, 0, 70, 0)"
        )

    def announce_host(self, host: str) -> None:
        self.announce("nova-compute", host)
        zeros = "vcpus, memory_mb, local_gb, vcpus_used, memory_mb_used, local_gb_used"
        self.sql(
            f"INSERT INTO {NEW}.compute_nodes ({zeros}, hypervisor_type, hypervisor_version, "
            f"cpu_info, uuid, host, hypervisor_hostname, deleted, mapped) VALUES (0, 0, 0, 0, 0, "
            f"0, 'QEMU', 1, '', UUID(), '{host}', '{host}', 0, 0)"
        )

    def add(self) -> None:
        """Add the cell as far as a person has to do something, do that, and go on."""
        code, _, said = self.run()
        assert code == 3, said
        assert "no nova-conductor is up in cell east" in said
        self.announce("nova-conductor", "c")
        assert self.run()[0] == 0

    def is_clean(self) -> bool:
        """Tell whether nothing is left of the new cell."""
        cells = self.sql("SELECT name FROM nova_api.cell_mappings WHERE name = 'east'")
        return (
            self.databases() == set(OLD)
            and not self.users()
            and self.vhosts() == {"/"}
            and not cells
            and not self.cell_file.exists()
        )

    def close(self) -> None:
        for name in sorted(self.databases()):
            self.sql(f"DROP DATABASE {name}")
        self.engine.dispose()


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, mariadb_url: str, rabbit: Rabbit
) -> Iterator[Nova]:
    found = Nova(tmp_path_factory.mktemp("nova"), mariadb_url, rabbit)
    yield found
    found.close()


@pytest.fixture
def nova(made: Nova) -> Iterator[Nova]:
    assert made.is_clean()
    yield made
    if not made.is_clean():
        made.sql(f"DROP DATABASE IF EXISTS {NEW}")
        made.sql(f"DROP USER IF EXISTS {NEW}@localhost")
        RabbitManagement(made.rabbit.management, 10).drop(f"rabbit://{NEW}:x@mq/east")
        made.sql("DELETE FROM nova_api.host_mappings")
        made.sql("DELETE FROM nova_api.cell_mappings WHERE name = 'east'")
        made.cell_file.unlink(missing_ok=True)


def steps(out: str) -> dict[str, str]:
    return {row["step"]: row["state"] for row in json.loads(out)}


def test_the_default_cell_gets_its_second_with_a_real_conductor(nova: Nova) -> None:
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
    conductor = subprocess.Popen(
        [BIN / "nova-conductor", "--config-file", nova.conf, "--config-file", nova.cell_file],
        stderr=(nova.folder / "conductor.log").open("wb"),
    )
    try:
        code, out, said = nova.run("--wait", "240", "-o", "json")
    finally:
        conductor.terminate()
        conductor.wait(60)
    assert code == 0, (said, (nova.folder / "conductor.log").read_text()[-3000:])
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


def test_what_is_there_already_is_not_touched(nova: Nova) -> None:
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
def test_a_server_that_does_not_answer_is_named(nova: Nova, option: str) -> None:
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


def test_no_secret_is_seen_by_others(nova: Nova) -> None:
    """Nobody sees a password on a command line while tables are migrated."""
    seen: set[str] = set()

    def look() -> None:
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(one.read_bytes().decode(errors="replace"))
            except OSError:
                continue

    with nova.start() as process:
        until(lambda: look() or process.poll() is not None, timeout_s=120)
        _, said = process.communicate()
    secret = re.findall(r"nova_east:([^@]+)@", nova.cell_file.read_text())
    assert len(set(secret)) == 1
    assert any("create_cell" in one for one in seen)
    assert not [one for one in seen if secret[0] in one]
    assert secret[0] not in said


def test_ctrl_c_ends_it_and_it_goes_on(nova: Nova) -> None:
    with nova.start() as process:
        until(lambda: NEW in nova.databases() or process.poll() is not None, timeout_s=60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
    nova.add()
    assert nova.run("--roll-back", "--yes", "--confirm", "east")[0] == 0
    assert nova.is_clean()


def test_killed_in_the_middle_of_a_migration_that_goes_on(nova: Nova) -> None:
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


def kill_at(nova: Nova, number: int, *, back: bool) -> bool:
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


def test_killed_here_and_there_it_goes_on_or_back(nova: Nova) -> None:
    for number in (2, 7, 10):
        assert kill_at(nova, number, back=number != 7)


@pytest.mark.stress  # at each change: minutes
@pytest.mark.parametrize("back", [False, True])
def test_killed_at_each_change_it_goes_on_or_back(nova: Nova, back: bool) -> None:
    number = 1
    while kill_at(nova, number, back=back):
        number += 1
    assert number > 10
    if not back:
        nova.announce("nova-conductor", "c")
    assert nova.run("--roll-back", "--yes", "--confirm", "east")[0] == 0


@pytest.mark.stress
def test_killed_at_each_change_of_the_way_back_it_goes_on_with_it(nova: Nova) -> None:
    back = ("--roll-back", "--yes", "--confirm", "east")
    number = 1
    while True:
        nova.add()
        code, _, said = nova.run(*back, number=number)
        if code == 0:
            break
        assert code == -signal.SIGKILL, said
        code, _, said = nova.run(*back)
        assert code == 0, said
        assert nova.is_clean(), number
        number += 1
    assert number > 5
