"""Run `isthmus` and kill it, with SIGKILL, before its nth change of the world.

    python tests/cells/killed.py N WORD...

A change is what it commits to a database that it has written to, or has a server do there by
itself, what it asks RabbitMQ to change, a program that it runs, and a file that it puts in place or
removes. With N 0 it is killed nowhere, and says on stderr how many there were.

`fork` does the same in a child of this process, which is quicker. What nova-manage does for a new
cell is done there without it: its tables are those of cell0, as nova-manage made them. What is
killed in a migration is for `test_cell_add`. `hook.py` is called, not run.
"""

import importlib
import os
import pathlib
import re
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import requests
import sqlalchemy as sa
from typing_extensions import override

from isthmus.cli import main
from isthmus.clients.machine import shell
from isthmus.config.nova import read_nova

#: What a server commits by itself.
_BY_ITSELF = re.compile(r"(CREATE|ALTER|DROP|GRANT|KILL)\b")
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_TEMPLATE = "nova_cell0"
#: What commands import when they run.
_LATE = (
    "isthmus.cli.compute.cell",
    "isthmus.wiring.compute.growing",
    "isthmus.wiring.compute.health",
    "isthmus.wiring.compute.moving",
    "isthmus.wiring.compute.deployed",
    "sqlalchemy.dialects.mysql.pymysql",
)


class Counter:
    """Counts changes that are about to be made, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        """Begin.

        Args:
            last: which is not made any more; 0 for none.
        """
        self.last, self.seen = last, 0

    def change(self) -> None:
        self.seen += 1
        if self.seen == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, connection: sa.Connection, _cursor: Any, statement: str, *_: object) -> None:
        if _BY_ITSELF.match(statement):
            self.change()
        elif _WRITES.match(statement):
            connection.info[self] = True

    def commit(self, connection: sa.Connection) -> None:
        if connection.info.pop(self, False):
            self.change()

    def rollback(self, connection: sa.Connection) -> None:
        connection.info.pop(self, None)

    def count(self, call: Any) -> Any:
        """Return what counts calls of something."""

        def counting(*args: Any, **words: Any) -> Any:
            self.change()
            return call(*args, **words)

        return counting

    def install(self) -> None:
        """Count all that this process does from now on."""
        counter = self

        class Session(requests.Session):
            @override
            def request(self, method: Any, *args: Any, **words: Any) -> requests.Response:
                if method != "GET":
                    counter.change()
                return super().request(method, *args, **words)

        sa.event.listen(sa.Engine, "commit", self.commit)
        sa.event.listen(sa.Engine, "rollback", self.rollback)
        sa.event.listen(sa.Engine, "before_cursor_execute", self.execute)
        requests.sessions.Session = Session  # type: ignore[misc]
        shell.run = self.count(shell.run)
        path: Any = pathlib.Path
        path.replace, path.unlink = self.count(path.replace), self.count(path.unlink)


def copy_tables(url: sa.URL, database: str) -> None:
    """Give a database the tables that another one of its server has, and what is in them."""
    engine = sa.create_engine(url)
    raw = engine.raw_connection()  # of which nothing is counted
    cursor = raw.cursor()

    def ask(statement: str) -> list[Any]:
        cursor.execute(statement)
        return [*cursor.fetchall()]

    ask("SET FOREIGN_KEY_CHECKS = 0")
    ask(f"USE `{database}`")
    for (name,) in ask(f"SHOW TABLES FROM {_TEMPLATE}"):
        ask(ask(f"SHOW CREATE TABLE {_TEMPLATE}.`{name}`")[0][1])
        ask(f"INSERT INTO `{name}` SELECT * FROM {_TEMPLATE}.`{name}`")
    raw.commit()
    raw.close()
    engine.dispose()


def map_cell(url: sa.URL, name: str, database: str, queue: str) -> None:
    """Map a cell, disabled, as nova-manage does."""
    engine = sa.create_engine(url)
    raw = engine.raw_connection()
    raw.cursor().execute(
        "INSERT INTO cell_mappings (created_at, uuid, name, transport_url, database_connection, "
        "disabled) VALUES (UTC_TIMESTAMP(), %s, %s, %s, %s, 1)",
        (str(uuid.uuid4()), name, queue, database),
    )
    raw.commit()
    raw.close()
    engine.dispose()


def _hasten(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return what does without a program what nova-manage and the hook are to do."""

    from tests.cells import hook  # a program finds it not

    def running(argv: Sequence[str | pathlib.Path], **how: Any) -> Any:
        words = [*map(str, argv)]
        files = [
            pathlib.Path(words[at + 1]) for at, one in enumerate(words) if one == "--config-file"
        ]
        if words[-3:] == ["db", "sync", "--local_cell"]:
            root, own = (sa.make_url(read_nova(some).template) for some in (files[:-1], files))
            copy_tables(root, str(own.database))
        elif words[-5:-2] == ["cell_v2", "create_cell", "--name"]:
            where = read_nova(files)
            map_cell(sa.make_url(where.api), words[-2], where.template, where.queue_template)
        elif pathlib.Path(words[0]).name == "hook":
            assert hook.main([str(pathlib.Path(words[0]).with_name("nova.conf")), *words[1:]]) == 0
        else:
            return run(argv, **how)
        return shell.Output(0, "", "")

    return running


def fork(number: int, words: Sequence[str], folder: pathlib.Path) -> tuple[int, str, str]:
    """Run it in a child; return its exit code, a signal as less than 0, and what it said.

    Args:
        number: of the change before which it is killed; 0 for none.
        words: of the command.
        folder: of two files for what it says.
    """
    for one in _LATE:
        importlib.import_module(one)
    files = [folder / "out", folder / "err"]
    child = os.fork()
    if not child:
        code = 70
        try:
            for descriptor, file in enumerate(files, start=1):
                opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(opened, descriptor)
            sys.stdout, sys.stderr = (os.fdopen(one, "w", closefd=False) for one in (1, 2))
            shell.run = _hasten(shell.run)
            Counter(number).install()
            main.run([*words])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    out, err = (file.read_text() for file in files)
    return os.waitstatus_to_exitcode(status), out, " ".join(err.split())


if __name__ == "__main__":
    COUNTER = Counter(int(sys.argv[1]))
    COUNTER.install()
    try:
        main.run(sys.argv[2:])
    finally:
        if not COUNTER.last:
            sys.stderr.write(f"\nchanges: {COUNTER.seen}\n")
