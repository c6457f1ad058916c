"""Connections to databases of others: they read only, and nothing waits for ever."""

import contextlib
import math
import urllib.parse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc, pool

from isthmus import errors


@contextlib.contextmanager
def reading(url: str, timeout_s: float) -> Iterator[sa.Connection]:
    """Open one transaction that reads, on a connection of its own.

    Args:
        url: as in `[database] connection`.
        timeout_s: for connecting, and for each answer.

    Raises:
        Invalid: it is no URL of a database that is supported.
        Unreachable: nobody answers there, or not in time.
        Inconsistent: it refuses what is asked, which Nova's tables would not.
    """
    engine = _open(url, timeout_s)
    try:
        with engine.connect() as connection:
            yield connection
    except exc.DBAPIError as error:
        raise translate(error) from error
    finally:
        engine.dispose()


def _open(url: str, timeout_s: float) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except exc.ArgumentError as error:
        raise errors.Invalid("a connection of Nova's is not a database URL") from error
    arguments: dict[str, Any]
    if backend == "sqlite":
        arguments = {"timeout": timeout_s, "check_same_thread": False}
        engine = sa.create_engine(parsed, poolclass=pool.NullPool, connect_args=arguments)
    elif backend in {"mysql", "mariadb"}:
        seconds = max(1, math.ceil(timeout_s))
        arguments = {
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "write_timeout": seconds,
            "init_command": "SET SESSION TRANSACTION READ ONLY",
        }
        # What nova.conf has in the URL for its own connections is not for ours.
        plain = parsed.difference_update_query(["connect_timeout", "read_timeout", "write_timeout"])
        engine = sa.create_engine(plain, poolclass=pool.NullPool, connect_args=arguments)
    else:
        raise errors.Invalid(f"database {backend!r} is not supported: use MariaDB or MySQL")
    return engine


def translate(error: exc.DBAPIError) -> errors.IsthmusError:
    """Return the error of ours for an error of the driver."""
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return errors.Unreachable(f"the database does not answer: {error.orig}")
    return errors.Inconsistent(f"the database refused a statement: {error.orig}")


def format_url(url: str, template: str) -> str:
    """Fill in a cell mapping's URL that refers to Nova's own, such as {scheme}://{hostname}/cell1.

    Raises:
        Invalid: it refers to something that is not there.
    """
    if "{" not in url:
        return url
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
    try:
        return url.format(**known)
    except (KeyError, IndexError, ValueError) as error:
        raise errors.Invalid(
            "a cell mapping has a database_connection with {} that [database] connection of "
            f"nova.conf does not fill in: {error}"
        ) from error


def read_now(connection: sa.Connection) -> Any:
    """Return the expression for UTC now, by the clock of the database."""
    if connection.dialect.name == "sqlite":
        return sa.func.current_timestamp()
    return sa.func.utc_timestamp()
