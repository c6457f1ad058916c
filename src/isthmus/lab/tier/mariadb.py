"""A MariaDB of a tier's own: its data folder, its command, the URLs of its databases.

Schemas take half a minute to make; a whole data folder is made once, as a template, and copied.
"""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from isthmus import errors
from isthmus.lab.process.program import Program
from isthmus.lab.protocols import Tools
from isthmus.lab.tier.maker import MARKER, Maker
from isthmus.lab.tier.template import (
    BUILD_TIMEOUT_S,
    Templates,
    digest,
    digest_migrations,
    versions,
)

#: The folder of a server's data, below the folder of whoever it belongs to.
DATA = "mariadb"
#: The database of a tier's Neutron.
NEUTRON = "neutron"
_START_TIMEOUT_S = 60
_POLL_S = 0.05


def database_url(socket: Path, name: str) -> str:
    """Return the SQLAlchemy URL of a database of a MariaDB that answers on a socket."""
    return f"mysql+pymysql://root@localhost/{name}?unix_socket={socket}&charset=utf8mb4"


def find_socket(home: Path) -> Path:
    """Return the socket of the MariaDB of a folder."""
    return home / "mariadb.sock"


def mariadb_words(folder: Path, data: str, socket: Path) -> tuple[str, ...]:
    """Return the command of a MariaDB that answers on its socket alone, as small as it can be.

    Args:
        folder: holds its data.
        data: name of the folder of the data in it.
        socket: where it answers.
    """
    return (
        "mariadbd",
        "--no-defaults",
        f"--datadir={folder / data}",
        # A server that starts removes each temporary table of its tmpdir, other servers' too.
        f"--tmpdir={folder}",
        f"--socket={socket}",
        f"--pid-file={folder / 'mariadb.pid'}",
        "--user=root",
        "--skip-networking",
        "--skip-log-bin",
        "--performance-schema=OFF",
        "--innodb-buffer-pool-size=24M",
        "--innodb-log-file-size=16M",
        "--innodb-log-buffer-size=1M",
        # The lab's data need not outlive a crash of the machine.
        "--innodb-flush-log-at-trx-commit=0",
        "--key-buffer-size=1M",
        "--aria-pagecache-buffer-size=1M",
        "--max-connections=400",
        "--character-set-server=utf8mb4",
    )


def plan_mariadb(make: Maker) -> Program:
    """Return the program of the MariaDB of a place."""
    socket = find_socket(make.home)
    words = mariadb_words(make.home, DATA, socket)
    return make.program("mariadb", words[0], *words[1:], socket=str(socket))


def make_neutron(templates: Templates, tools: Tools) -> Path:
    """Return a data folder of MariaDB with a Neutron's tables and ours, stamped, without rows.

    Args:
        templates: where it is kept.
        tools: what to make it with.

    Raises:
        IsthmusError: it could not be made.
    """

    def fill(socket: Path) -> None:
        run_sql(tools, socket, f"CREATE DATABASE {NEUTRON} CHARACTER SET utf8mb4")
        python = [sys.executable, "-m", "isthmus.neutron.db.create", database_url(socket, NEUTRON)]
        tools.run(python, timeout_s=BUILD_TIMEOUT_S)

    made_of = versions("neutron", "neutron-lib", "oslo-db")
    key = digest(made_of, digest_migrations(), Path(__file__).read_text())
    return templates.made(f"mariadb-{key}", lambda folder: build_data(folder, tools, fill)) / DATA


def run_sql(tools: Tools, socket: Path, statements: str) -> None:
    """Run statements as the one user that a new MariaDB has."""
    client = ["mariadb", "--no-defaults", f"--socket={socket}", "-uroot"]
    tools.run([*client, "-e", statements])


def build_data(folder: Path, tools: Tools, fill: Callable[[Path], None]) -> None:
    """Make a data folder, fill it through a server that runs as long as that takes, and end that.

    Args:
        folder: holds it, as `DATA`.
        tools: what to make it with.
        fill: gets the socket of the server.

    Raises:
        StepFailed: the server does not answer.
    """
    socket = folder / "s"
    tools.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / DATA}",
            f"--tmpdir={folder}",
            "--user=root",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=16M",
        ],
        timeout_s=BUILD_TIMEOUT_S,
    )
    words = mariadb_words(folder, DATA, socket)
    log, env = folder / "mariadb.log", {MARKER: str(folder)}
    process = tools.processes.spawn(words, netns=None, log=log, env=env)
    try:
        _await_socket(socket, log)
        fill(socket)
    finally:
        tools.processes.send(process, signal.SIGTERM)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while tools.processes.is_alive(process) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _await_socket(socket: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not socket.exists():
        if time.monotonic() > deadline:
            raise errors.StepFailed(f"MariaDB does not answer; its log: {log.read_text()[-800:]}")
        time.sleep(_POLL_S)
