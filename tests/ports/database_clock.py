"""Makes a database tell the time of a clock that a test owns."""

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from isthmus.testing.clock import FakeClock

_FORM = "%Y-%m-%d %H:%M:%S.%f"


def drive(engine: sa.Engine, clock: FakeClock) -> None:
    """Have every transaction of an engine see a clock's time from now on.

    MariaDB has a session variable for it; in SQLite a function of our own stands before the
    built-in one by which `isthmus.store.sql.clock` asks.
    """
    event.listen(engine, "begin", lambda connection: follow(connection, clock))


def follow(connection: sa.Connection, clock: FakeClock) -> None:
    """Have a transaction that is under way see that the clock was moved."""
    if connection.dialect.name != "sqlite":
        seconds = clock.now().replace(tzinfo=datetime.UTC).timestamp()
        connection.exec_driver_sql(f"SET SESSION timestamp = {seconds:.6f}")
        return

    def tell(_form: str, _now: str, *modifiers: str) -> str:
        delay_s = sum(float(one.removesuffix(" seconds")) for one in modifiers)
        return (clock.now() + datetime.timedelta(seconds=delay_s)).strftime(_FORM)

    driver: Any = connection.connection.driver_connection
    driver.create_function("strftime", -1, tell)
