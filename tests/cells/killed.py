"""Run `isthmus` in this process, and kill it, with SIGKILL, before its nth change of the world.

    python tests/cells/killed.py N WORD...

A change is what it commits to a database or has a server do there by itself, what it asks RabbitMQ
to change, a program that it runs, and a file that it puts in place or removes. With N 0 it counts
them instead, and says how many on stderr.
"""

import os
import pathlib
import re
import signal
import sys
from typing import Any

import requests
import sqlalchemy as sa
from typing_extensions import override

from isthmus.cli import main
from isthmus.clients.machine import shell

LEFT = int(sys.argv[1])
CHANGES: list[object] = []
#: What a server commits by itself.
_BY_ITSELF = re.compile(r"(CREATE|ALTER|DROP|GRANT|KILL)\b")


def change(*_: object) -> None:
    """Count a change that is about to be made, or end here."""
    CHANGES.append(None)
    if len(CHANGES) == LEFT:
        os.kill(os.getpid(), signal.SIGKILL)


def execute(_conn: Any, _cursor: Any, statement: str, *_: object) -> None:
    if _BY_ITSELF.match(statement):
        change()


sa.event.listen(sa.Engine, "commit", change)
sa.event.listen(sa.Engine, "before_cursor_execute", execute)


class Session(requests.Session):
    """Counts what changes something."""

    @override
    def request(self, method: Any, *args: Any, **words: Any) -> requests.Response:
        if method != "GET":
            change()
        return super().request(method, *args, **words)


def counted(call: Any) -> Any:
    def counting(*args: Any, **words: Any) -> Any:
        change()
        return call(*args, **words)

    return counting


requests.sessions.Session = Session  # type: ignore[misc]
shell.run = counted(shell.run)
pathlib.Path.replace = counted(pathlib.Path.replace)  # type: ignore[method-assign]
pathlib.Path.unlink = counted(pathlib.Path.unlink)  # type: ignore[method-assign]

if __name__ == "__main__":
    try:
        main.run(sys.argv[2:])
    finally:
        if not LEFT:
            sys.stderr.write(f"\nchanges: {len(CHANGES)}\n")
