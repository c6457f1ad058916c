"""Engines for processes that open a tier's database besides Neutron itself, such as Xjob.

SQLite admits one writer at a time, and a transaction that first reads and then writes may fail in
the middle; so every transaction here that may write declares it at its start.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
import tenacity
from sqlalchemy import event, exc

from isthmus import errors

#: How long a SQLite writer waits for another one, in seconds.
_SQLITE_BUSY_S = 30
#: MariaDB: lock wait timeout, deadlock found, record changed since last read.
_BUSY_CODES = {1205, 1213, 1020}
#: MariaDB: no such table, unknown column; and what SQLite says of either.
_TABLE_CODES, _TABLE_WORDS = {1146, 1054}, ("no such table", "no such column")
#: Collisions are over in milliseconds; a database that stays busy is the caller's to wait for.
_TRIES, _PATIENCE_S = 5, 10.0

#: Decorates a function that is one transaction. Where two collide, MariaDB makes one of them start
#: again: 11.8 was seen to, 10.11 not, with the same test.
again_when_busy = tenacity.retry(
    retry=tenacity.retry_if_exception_type(errors.Busy),
    stop=tenacity.stop_after_attempt(_TRIES) | tenacity.stop_after_delay(_PATIENCE_S),
    wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.5),
    reraise=True,
)


def open_engine(url: str) -> sa.Engine:
    """Open a tier's database.

    Args:
        url: as in Neutron's `[database] connection`.

    Raises:
        Invalid: it is not a URL, or of a database that is not supported.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except exc.ArgumentError as error:
        raise errors.Invalid("[database] connection is not a database URL") from error
    if backend == "sqlite":
        engine = sa.create_engine(
            parsed, connect_args={"timeout": _SQLITE_BUSY_S, "check_same_thread": False}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend in {"mysql", "mariadb"}:
        # READ COMMITTED takes no gap locks, so claims of different lanes never meet.
        return sa.create_engine(
            parsed, pool_pre_ping=True, pool_recycle=3600, isolation_level="READ COMMITTED"
        )
    raise errors.Invalid(f"database {backend!r} is not supported: use MariaDB or SQLite")


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
    finally:
        cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("isthmus_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that only reads; it never waits for writers.

    Raises:
        Transient: the database is busy or away.
    """
    with _translated(), engine.connect().execution_options(isthmus_reading=True) as connection:
        yield connection


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction and commit it at the end.

    Raises:
        Transient: the database is busy or away; nothing was changed.
    """
    with _translated(), engine.begin() as connection:
        yield connection


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as error:
        raise translate(error) from error


def translate(error: exc.DBAPIError) -> errors.IsthmusError:
    """Return the error of ours for an error of the driver."""
    cause = error.orig
    number = cause.args[0] if cause is not None and cause.args else None
    if number in _BUSY_CODES or "database is locked" in str(cause):
        return errors.Busy(f"the database is busy: {cause}")
    if number in _TABLE_CODES or any(words in str(cause) for words in _TABLE_WORDS):
        # Whoever waits for the database goes on as soon as the tables are there.
        return errors.Unreachable(
            f"the database has not the tables of this version of Isthmus ({cause}): run "
            "neutron-db-manage upgrade heads, with Neutron's own files"
        )
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return errors.Unreachable(f"the database does not answer: {cause}")
    return errors.Inconsistent(f"the database refused a statement: {cause}")
