"""SQLite manners: threads and a second process never see "database is locked".

SQLite refuses, at once and whatever the timeout, a transaction that has read and later wants to
write after somebody else wrote. So a transaction that may write says BEGIN IMMEDIATE and waits for
its turn; one that only reads says BEGIN and, thanks to the write-ahead log, never waits.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

#: How long a writer waits for its turn; longer than any transaction that Neutron makes.
BUSY_TIMEOUT_S = 30.0
#: Marks the URL of an engine that only reads; SQLite ignores URI parameters it does not know.
_READER_MARK = "isthmus_reader"
#: Key in a connection's `info` while a transaction is open; oslo.db's own listener uses it too.
_OPEN = "in_transaction"


def is_file(url: URL) -> bool:
    """Tell whether the URL names an SQLite file."""
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def reader_url(url: URL) -> URL:
    """Name the same file for an engine that only reads."""
    database = str(url.database)
    path = database if database.startswith("file:") else f"file:{database}"
    return url.set(database=path, query={**url.query, "uri": "true", _READER_MARK: "1"})


def adapt(engine: sa.Engine) -> None:
    """Give one engine the manners; an engine of another database is left alone."""
    if not is_file(engine.url):
        return
    begin = "BEGIN" if _READER_MARK in engine.url.query else "BEGIN IMMEDIATE"

    def set_pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    def begin_transaction(connection: sa.Connection) -> None:
        if _OPEN not in connection.info:
            connection.exec_driver_sql(begin)
            connection.info[_OPEN] = True

    def forget_transaction(connection: sa.Connection) -> None:
        connection.info.pop(_OPEN, None)

    sa.event.listen(engine, "connect", set_pragmas)
    # Ahead of oslo.db's own listener, which begins only where nobody has.
    sa.event.listen(engine, "begin", begin_transaction, insert=True)
    sa.event.listen(engine, "commit", forget_transaction)
    sa.event.listen(engine, "rollback", forget_transaction)


def use_write_ahead_log(connection: sa.Connection) -> None:
    """Turn the write-ahead log on; the file remembers it."""
    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
