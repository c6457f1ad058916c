"""Neutron (and Keystone) on SQLite, with several threads and processes on one file.

SQLite has one writer at a time. A transaction that began with a read cannot wait for its turn to
write: it gets "database is locked" at once, because its snapshot may be old. So a transaction has
to declare at its start whether it is going to write, and then every writer simply waits. Neutron's
enginefacade knows that (reader or writer), oslo.db's `BEGIN` does not. `install` corrects that,
with the events that oslo.db and SQLAlchemy offer:

* connect: write-ahead log (readers never wait for the writer), and a long busy timeout;
* begin: oslo.db's own `BEGIN` is suppressed, by its own marker;
* before the first statement: `BEGIN IMMEDIATE` for a writer, plain `BEGIN` for a reader;
* connections are kept. oslo.db closes each one after its transaction, and for a new one SQLite
  parses the whole schema (some 250 tables): 2.6 ms of CPU, where a short transaction takes 0.01;
* a heartbeat of Neutron's hash ring gives up soon. The thread that carries OVN's events sends it
while it holds the lock of the OVN connection, and a writer may wait for that very lock
(`get_lswitch` in `delete_network`): each would wait for the other. Neutron tolerates a lost
heartbeat; the next event, or a periodic task, sends another.

Other databases are left unchanged.
"""

import logging
import os
import sqlite3
import sys
import threading
import traceback
import weakref
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import event, orm, pool

LOG = logging.getLogger(__name__)

#: Longer than any request may lock the file; milliseconds, as SQLite counts.
BUSY_TIMEOUT_MS = 60_000
#: Timeout of a heartbeat; longer than nearly every transaction of Neutron's, and short compared to
#: the 60 s after which a node without heartbeats counts as dead.
HEARTBEAT_TIMEOUT_MS = 100
#: How many idle connections a process keeps: more than it has threads that use them.
_MOST_KEPT = 100
_HEARTBEAT = "UPDATE ovn_hash_ring SET"
#: Marker in a connection's info that keeps oslo.db from its own BEGIN.
_OSLO_MARKER = "in_transaction"
_MODE = "isthmus_mode"

_WRITING, _PLAIN = "BEGIN IMMEDIATE", "BEGIN"

_installed: list[bool] = []
#: Which thread writes on which connection, to be logged if another one waits too long.
_holders: dict[int, int] = {}


def install() -> None:
    """Prepare every engine that Neutron opens in this process from now on; idempotent."""
    if _installed:
        return
    _installed.append(True)
    db_api.get_context_manager().append_on_engine_create(prepare)


def install_for_keystone() -> None:
    """Prepare every engine that Keystone opens in this process: it has the same problem."""
    from keystone.common.sql import core

    core._get_main_context_manager().append_on_engine_create(prepare)


def prepare(engine: sa.Engine) -> None:
    """Prepare one engine for several threads, where it is SQLite on a file."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return
    _keep_connections(engine)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    event.listen(engine, "commit", _on_end)
    event.listen(engine, "rollback", _on_end)
    event.listen(engine, "before_cursor_execute", _on_execute)
    if not event.contains(orm.Session, "after_begin", _on_session_begin):
        event.listen(orm.Session, "after_begin", _on_session_begin)


def _keep_connections(engine: sa.Engine) -> None:
    """Have an engine keep its connections for the next transaction, as many as there ever were.

    None of them goes along into a child process: SQLite forbids that.
    """
    old = engine.pool
    # As `recreate` of SQLAlchemy's pools does it, listeners included; it cannot change the kind.
    engine.pool = pool.QueuePool(
        old._creator,
        pool_size=_MOST_KEPT,
        max_overflow=-1,
        use_lifo=True,
        dialect=old._dialect,
        _dispatch=old.dispatch,
    )
    found = weakref.ref(engine)

    def let_go() -> None:
        kept = found()
        if kept is not None:
            kept.pool.dispose()

    os.register_at_fork(before=let_go)


def _on_connect(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    dbapi_connection.execute("PRAGMA journal_mode = WAL")
    # With a write-ahead log this loses nothing when a process dies, only when the machine does.
    dbapi_connection.execute("PRAGMA synchronous = NORMAL")
    record.info[_OSLO_MARKER] = True


def _on_begin(connection: sa.Connection) -> None:
    connection.info.pop(_MODE, None)


def _on_end(connection: sa.Connection) -> None:
    _holders.pop(id(connection.connection.dbapi_connection), None)
    # oslo.db has just removed its marker, and would send a BEGIN of its own next time.
    connection.info[_OSLO_MARKER] = True


def _on_session_begin(session: orm.Session, _transaction: Any, connection: sa.Connection) -> None:
    context = session.info.get("using_context")
    threads = getattr(context, "_enginefacade_context", None)
    current = getattr(threads, "current", None)
    if current is not None:
        connection.info[_MODE] = current.mode


def _on_execute(connection: sa.Connection, cursor: Any, statement: str, *_rest: object) -> None:
    if cursor.connection.in_transaction or statement.startswith("PRAGMA"):
        return
    begin = _begin_statement(connection.info.get(_MODE), statement)
    if begin == _PLAIN:
        cursor.execute(begin)
        return
    if statement.startswith(_HEARTBEAT):
        cursor.execute(f"PRAGMA busy_timeout = {HEARTBEAT_TIMEOUT_MS}")
        try:
            cursor.execute(begin)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return
    try:
        cursor.execute(begin)
    except sqlite3.OperationalError:
        _report_holders()
        raise
    _holders[id(cursor.connection)] = threading.get_ident()


def _report_holders() -> None:
    """Log what the writing threads of this process are doing: one of them has locked the file."""
    frames = sys._current_frames()
    others = {thread for thread in _holders.values() if thread != threading.get_ident()}
    held = [frames[thread] for thread in others if thread in frames]
    for frame in held:
        stack = "".join(traceback.format_stack(frame))
        LOG.warning("This thread has locked the database for long:\n%s", stack)
    if not held:
        LOG.warning("Another process has locked the database for long")


def _begin_statement(mode: Any, statement: str) -> str:
    """Choose the BEGIN of a transaction; where the mode is unknown, by its first statement."""
    if mode is None:
        writes = not statement.lstrip("( \n").upper().startswith(("SELECT", "WITH"))
    else:
        writes = mode is enginefacade._WRITER
    return _WRITING if writes else _PLAIN
