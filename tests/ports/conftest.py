"""A private MariaDB for the tests of this folder."""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from isthmus.testing.needed import lack


@pytest.fixture(scope="module")
def mariadb_url(mariadbd: str) -> Iterator[str]:
    """Give the URL of a database that is empty at the beginning of each file.

    Which files share a server, and in which order, is another matter in each run.
    """
    yield mariadbd
    engine = sa.create_engine(mariadbd.replace("/isthmus?", "/mysql?"))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET SESSION lock_wait_timeout = 60")
            connection.exec_driver_sql("DROP DATABASE isthmus")
            connection.exec_driver_sql("CREATE DATABASE isthmus CHARACTER SET utf8mb4")
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def mariadbd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a mariadbd of our own on a unix socket; gives the URL of its database `isthmus`."""
    server = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    installer = shutil.which("mariadb-install-db")
    if server is None or installer is None:
        lack("mariadbd")
    folder = tmp_path_factory.mktemp("mariadb")
    data, socket, log = folder / "data", folder / "s", folder / "log"
    # A server that starts removes each temporary table of its tmpdir, other servers' too.
    own = ["--no-defaults", f"--datadir={data}", f"--user={_user()}", f"--tmpdir={folder}"]
    installed = subprocess.run(
        [installer, *own, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert installed.returncode == 0, installed.stdout[-2000:]
    process = subprocess.Popen(
        [
            server,
            *own,
            f"--socket={socket}",
            f"--log-error={log}",
            f"--pid-file={folder / 'pid'}",
            "--skip-networking",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
        ]
    )
    try:
        _wait_for(socket, process, log)
        root = f"mysql+pymysql://root@localhost/{{}}?unix_socket={socket}&charset=utf8mb4"
        engine = sa.create_engine(root.format("mysql"))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE DATABASE isthmus CHARACTER SET utf8mb4"))
        engine.dispose()
        yield root.format("isthmus")
    finally:
        process.terminate()
        process.wait(120)


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while not socket.exists():
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
