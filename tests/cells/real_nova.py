"""A real Nova with its one default cell, on MariaDB and RabbitMQ, and the files of a controller."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells import killed
from tests.cells.rabbit import Rabbit

from isthmus.clients.compute.rabbitmq import RabbitManagement
from isthmus.lab.compute.services import ZYGOTE_ENV

KILLED = Path(killed.__file__)
BIN = Path(sys.executable).parent
OLD = ("nova_api", "nova_cell0", "nova_cell1")
NEW = "nova_east"
NOWHERE = "http://127.0.0.1:1"


class RealNova:
    """It."""

    def __init__(self, folder: Path, root: str, rabbit: Rabbit) -> None:
        self.folder, self.root, self.rabbit = folder, root, rabbit
        self.engine = sa.create_engine(root.replace("/isthmus?", "/mysql?"))
        for name in OLD:
            self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
        self.conf = folder / "nova.conf"
        self.conf.write_text(
            f"[DEFAULT]\ntransport_url = rabbit://guest:guest@{rabbit.queue}/\n"
            f"state_path = {folder}\nuse_stderr = true\nservice_down_time = 100000000\n"
            f"[oslo_concurrency]\nlock_path = {folder}/lock\n[conductor]\nworkers = 1\n"
            # A conductor wants a Placement that it could log in to, not one that answers.
            f"[placement]\nauth_type = none\nendpoint = {NOWHERE}\n"
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
        env = {**os.environ, **ZYGOTE_ENV}
        done = subprocess.run(create, env=env, capture_output=True, text=True, check=False)
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

    #: What is run.
    verb: tuple[str, ...] = ("add", "east")
    #: In a child of this process, where a migration is a copy (`killed.fork`).
    forks = False

    def command(self, *words: str, servers: bool = True) -> list[str]:
        files = ["--nova-conf", str(self.conf)]
        if servers:
            files += ["--servers", str(self.servers)]
        wait = ["--wait", "0"] if servers and "--wait" not in words else []
        return ["cell", *self.verb, *words, *files, *wait]

    def start(
        self, *words: str, number: int | None = None, servers: bool = True
    ) -> "subprocess.Popen[str]":
        program = [str(BIN / "isthmus")]
        if number is not None:
            program = [sys.executable, "-W", "ignore", str(KILLED), str(number)]
        return subprocess.Popen(
            [*program, *self.command(*words, servers=servers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def run(
        self, *words: str, number: int | None = None, servers: bool = True
    ) -> tuple[int, str, str]:
        if self.forks:
            return killed.fork(number or 0, self.command(*words, servers=servers), self.folder)
        with self.start(*words, number=number, servers=servers) as process:
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
            NEW not in self.databases()
            and not self.users()
            and self.vhosts() == {"/"}
            and not cells
            and not self.cell_file.exists()
        )

    def clean(self) -> None:
        """Remove what a test has left of the new cell."""
        if self.is_clean():
            return
        self.sql(f"DROP DATABASE IF EXISTS {NEW}")
        self.sql(f"DROP USER IF EXISTS {NEW}@localhost")
        RabbitManagement(self.rabbit.management, 10).drop(f"rabbit://{NEW}:x@mq/east")
        self.sql("DELETE FROM nova_api.host_mappings")
        self.sql("DELETE FROM nova_api.cell_mappings WHERE name = 'east'")
        self.cell_file.unlink(missing_ok=True)

    def close(self) -> None:
        for name in sorted(self.databases()):
            self.sql(f"DROP DATABASE {name}")
        self.engine.dispose()


@pytest.fixture(scope="session")
def real_nova(
    tmp_path_factory: pytest.TempPathFactory, mariadbd: str, rabbit: Rabbit
) -> Iterator[RealNova]:
    """Make one, for all tests that want one."""
    found = RealNova(tmp_path_factory.mktemp("nova"), mariadbd, rabbit)
    yield found
    found.close()
