"""Connections to databases of others: most read only, and nothing waits for ever."""

import contextlib
import functools
import math
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc, pool

from isthmus import errors

#: What drivers and SQLAlchemy raise for URLs that they make nothing of. Their words may hold a
#: piece of the password, so only their kind is told.
_ODD_URL = (exc.ArgumentError, ValueError, TypeError, AttributeError, ImportError, OSError)


#: Databases of which a process remembers how they are asked.
_ENGINES = 64
#: A few connections are kept, and nobody waits for one.
_POOL: dict[str, Any] = {
    "pool_size": 4,
    "max_overflow": -1,
    "pool_pre_ping": True,
    "pool_recycle": 600,
}

API_DATABASE = "Nova's API database"
PLACEMENT_DATABASE = "Placement's database"


#: What MariaDB answers to a statement, and its driver calls operational: an unknown column, and a
#: regular expression that makes no sense.
_BAD_PATTERN = 1139
_REFUSALS = frozenset({1054, _BAD_PATTERN})


@contextlib.contextmanager
def reading(
    url: str, timeout_s: float, whose: str = "the database", *, pooled: bool = False
) -> Iterator[sa.Connection]:
    """Open one transaction that reads.

    Args:
        url: as in `[database] connection`.
        timeout_s: for connecting, and for each answer.
        whose: it is, for what is said of it.
        pooled: keep the connection for the next one, in a process that serves many.

    Raises:
        Invalid: it is no URL of a database that is supported.
        Unreachable: nobody answers there, or not in time.
        Inconsistent: it refuses what is asked, which Nova's tables would not.
    """
    engine = _open(url, timeout_s, whose, pooled=pooled)
    try:
        with _connect(engine, whose) as connection:
            yield connection
    except exc.DBAPIError as error:
        raise translate(error, whose) from error


@contextlib.contextmanager
def writing(url: str, timeout_s: float, whose: str = "the database") -> Iterator[sa.Connection]:
    """Open one transaction that may write; it is committed at the end, or not at all.

    Args:
        url: as in `[database] connection`.
        timeout_s: for connecting, and for each answer.
        whose: it is, for what is said of it.

    Raises:
        Invalid: it is no URL of a database that is supported.
        Unreachable: nobody answers there, or not in time.
        Inconsistent: it refuses what is asked.
    """
    engine = _open(url, timeout_s, whose, writes=True)
    try:
        with _connect(engine, whose) as connection, connection.begin():
            yield connection
    except exc.DBAPIError as error:
        raise translate(error, whose) from error


def _connect(engine: sa.Engine, whose: str) -> sa.Connection:
    try:
        return engine.connect()
    except _ODD_URL as error:
        raise _say_odd(error, whose) from None


def _open(
    url: str, timeout_s: float, whose: str, *, writes: bool = False, pooled: bool = False
) -> sa.Engine:
    try:
        return _find_engine(url, timeout_s, writes=writes, pooled=pooled)
    except _ODD_URL as error:
        raise _say_odd(error, whose) from None


def _say_odd(error: BaseException, whose: str) -> errors.Invalid:
    return errors.Invalid(
        f"the connection of {whose} is no database URL that can be opened here "
        f"({type(error).__name__})"
    )


@functools.lru_cache(maxsize=_ENGINES)
def _find_engine(url: str, timeout_s: float, *, writes: bool, pooled: bool) -> sa.Engine:
    """Find the engine of a database, which knows what statements compile to."""
    return _make_engine(sa.make_url(url), timeout_s, writes=writes, pooled=pooled)


def _make_engine(parsed: sa.URL, timeout_s: float, *, writes: bool, pooled: bool) -> sa.Engine:
    backend = parsed.get_backend_name()
    arguments: dict[str, Any]
    if backend == "sqlite":
        engine = _make_sqlite_engine(parsed.database or "", timeout_s, writes=writes)
    elif backend in {"mysql", "mariadb"}:
        seconds = max(1, math.ceil(timeout_s))
        arguments = {
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "write_timeout": seconds,
        }
        if not writes:
            arguments["init_command"] = "SET SESSION TRANSACTION READ ONLY"
        # What nova.conf has in the URL for its own connections is not for ours.
        plain = parsed.difference_update_query(["connect_timeout", "read_timeout", "write_timeout"])
        kept = _POOL if pooled else {"poolclass": pool.NullPool}
        engine = sa.create_engine(plain, connect_args=arguments, **kept)
    else:
        raise errors.Invalid(f"database {backend!r} is not supported: use MariaDB or MySQL")
    return engine


def _make_sqlite_engine(path: str, timeout_s: float, *, writes: bool) -> sa.Engine:
    """Make an engine that opens a file that is there, and never makes one."""
    place = path if path.startswith("file:") else f"file:{urllib.parse.quote(path)}"
    place = f"{place.partition('?')[0]}?mode={'rw' if writes else 'ro'}"

    def connect() -> sqlite3.Connection:
        found = sqlite3.connect(place, timeout=timeout_s, check_same_thread=False, uri=True)
        found.create_function("REGEXP", 2, _matches)  # which SQLite lacks
        return found

    return sa.create_engine("sqlite://", poolclass=pool.NullPool, creator=connect)


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and re.search(pattern, str(text)) is not None


def format_pattern(pattern: str, dialect: str) -> str:
    """Return a regular expression as it is asked for; Nova takes | as it stands.

    MariaDB of old refused an empty alternative.
    """
    return pattern if dialect == "sqlite" else pattern.replace("|", "\\|")


def check_pattern(connection: sa.Connection, pattern: str) -> None:
    """Check a regular expression with the database, whose dialect is its own.

    Raises:
        Invalid: the database makes nothing of it.
    """
    safe = format_pattern(pattern, connection.dialect.name)
    try:
        connection.scalar(sa.select(sa.literal("").op("REGEXP")(safe)))
    except exc.DBAPIError as error:
        if not _is_refused_pattern(error):
            raise
        why = error.orig.args[-1] if error.orig else ""
        raise errors.Invalid(f"{pattern!r} is no regular expression: {why}") from None


def _is_refused_pattern(error: exc.DBAPIError) -> bool:
    arguments = error.orig.args if error.orig else ()
    return _BAD_PATTERN in arguments[:1] or "user-defined function" in str(error.orig)


def translate(error: exc.DBAPIError, whose: str = "the database") -> errors.IsthmusError:
    """Return the error of ours for an error of the driver."""
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if "no such " in str(error.orig) or code in _REFUSALS:  # SQLite's words, of tables and columns
        return errors.Inconsistent(f"{whose} refused a statement: {error.orig}")
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return errors.Unreachable(f"{whose} does not answer: {error.orig}")
    return errors.Inconsistent(f"{whose} refused a statement: {error.orig}")


def format_url(url: str, template: str) -> str:
    """Fill in a cell mapping's URL that refers to Nova's own, such as {scheme}://{hostname}/cell1.

    One that cannot be filled in is taken as it is (Nova 34, `CellMapping.format_db_url`): a
    password may have a brace.
    """
    if "{" not in url:
        return url
    with contextlib.suppress(Exception):
        return _fill_in(url, template)
    return url


def _fill_in(url: str, template: str) -> str:
    parts = urllib.parse.urlparse(template)
    known = {
        "username": parts.username,
        "password": parts.password,
        "hostname": parts.hostname,
        "port": parts.port,
        "scheme": parts.scheme,
        "query": parts.query,
        "fragment": parts.fragment,
        "path": parts.path.lstrip("/"),
    }
    return url.format(**known)


def read_place(connection: sa.Connection) -> str:
    """Return where a database is in its own words, whatever URL leads to it."""
    if connection.dialect.name == "sqlite":
        main = connection.exec_driver_sql("PRAGMA database_list").all()[0]
        return str(main[2])
    cluster = connection.exec_driver_sql("SHOW STATUS LIKE 'wsrep_cluster_state_uuid'").first()
    at = connection.exec_driver_sql("SELECT @@hostname, @@port, @@datadir, DATABASE()").one()
    server = cluster[1] if cluster and cluster[1] else f"{at[0]}:{at[1]}:{at[2]}"
    return f"{server}/{at[3]}"


def read_now(connection: sa.Connection) -> Any:
    """Return the expression for UTC now, by the clock of the database."""
    if connection.dialect.name == "sqlite":
        return sa.func.current_timestamp()
    return sa.func.utc_timestamp()
