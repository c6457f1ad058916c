"""The process that serves a tier's API: a WSGI application behind a threaded HTTP server.

Run as `python -m isthmus.lab.process.serve --application MODULE:NAME --bind ADDRESS --port N`; the
zygote calls `serve` in a child of its own instead, which saves the imports. The HTTP server is
cheroot: pure Python, keeps idle connections open, and needs no build step.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

from cheroot import wsgi
from typing_extensions import override

#: Threads that run requests. Neutron is bound by the interpreter lock long before ten.
THREADS = 10
#: Idle connections are kept this long, in seconds: longer than clients idle between calls.
KEEP_ALIVE_S = 300
#: How many idle connections are kept.
KEEP_ALIVE_LIMIT = 200
#: How long requests in flight may take to end after SIGTERM, in seconds.
GRACE_S = 2
#: When the process ends after SIGTERM at the latest, in seconds: an exception that a signal raises
#: may come up where it is swallowed (a destructor), or while a lock is held that the end needs.
LATEST_S = 3 * GRACE_S
#: Length of the kernel's queue of connections not yet taken.
BACKLOG = 128

LOG = logging.getLogger(__name__)


class _Server(wsgi.Server):
    """Writes what goes wrong with a connection into the service's own log."""

    @override
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log a message of the HTTP server."""
        LOG.log(level, "%s", msg, exc_info=traceback)


def load(name: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def prepare(names: Iterable[str]) -> None:
    """Call each `module:function`, before the application is loaded."""
    for name in names:
        load(name)()


def serve(application: str, bind: str, port: int) -> None:
    """Load a WSGI application and serve it until SIGTERM or SIGINT; then end this process."""
    loaded = load(application)
    threading.Thread(target=_end, name="end", daemon=True).start()
    # After loading, because applications set handlers of their own.
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    server = _Server(
        (bind, port),
        loaded,
        numthreads=THREADS,
        request_queue_size=BACKLOG,
        timeout=KEEP_ALIVE_S,
        shutdown_timeout=GRACE_S,
    )
    server.keep_alive_conn_limit = KEEP_ALIVE_LIMIT
    server.prepare()
    LOG.warning("serving %s on %s port %d", application, bind, port)
    try:
        server.serve()
    finally:
        server.stop()
        logging.shutdown()
        # Threads of the application (IDLs, relays) must not hold the process.
        os._exit(0)


def run_main(target: str, argv: Sequence[str]) -> None:
    """Run a program's `main` (a worker that is not a server) as if from a shell."""
    sys.argv = list(argv)
    load(target)()


_told_to_stop = threading.Event()


def _end() -> None:
    _told_to_stop.wait()
    time.sleep(LATEST_S)
    os._exit(0)


def _stop(number: int, _frame: FrameType | None) -> None:
    _told_to_stop.set()
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.process.serve")
    parser.add_argument("--application", required=True, help="MODULE:NAME of a WSGI application")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prepare", action="append", default=[], help="MODULE:FUNCTION to call")
    wanted = parser.parse_args(arguments)
    # The applications read their own command line: they must not see ours.
    sys.argv = sys.argv[:1]
    prepare(wanted.prepare)
    serve(wanted.application, wanted.bind, wanted.port)


if __name__ == "__main__":
    main()
