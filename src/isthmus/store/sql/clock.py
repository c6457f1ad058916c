"""The database's clock, in SQL.

Decisions of several machines by a time (when an intent is due again, when a claim has expired) are
written and compared by the one clock that all of them share: that of the tier's database. No
machine's own clock, and no difference between two of them, matters.
"""

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: As SQLAlchemy writes times into SQLite, which has milliseconds at most.
_SQLITE_FORM = "'%Y-%m-%d %H:%M:%f000', 'now'"
_MICROSECONDS = 1_000_000


class utc_now(FunctionElement[datetime.datetime]):  # noqa: N801 - the name of a SQL function
    """The current time, UTC and naive; the same throughout a statement."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utc_now, "sqlite")
def _utc_now_sqlite(_element: Any, _compiler: Any, **_options: Any) -> str:
    return f"strftime({_SQLITE_FORM})"


@compiles(utc_now)
def _utc_now_other(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "UTC_TIMESTAMP(6)"


class utc_after(FunctionElement[datetime.datetime]):  # noqa: N801 - the name of a SQL function
    """The time in so many seconds; negative for the past."""

    type = sa.DateTime()
    inherit_cache = True

    def __init__(self, delay_s: float) -> None:
        """Bind the delay as a parameter of the statement."""
        super().__init__(sa.literal(round(delay_s * _MICROSECONDS), sa.BigInteger()))


@compiles(utc_after, "sqlite")
def _utc_after_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    micros = compiler.process(element.clauses, **options)
    return f"strftime({_SQLITE_FORM}, ({micros} / {_MICROSECONDS}.0) || ' seconds')"


@compiles(utc_after)
def _utc_after_other(element: Any, compiler: Any, **options: Any) -> str:
    micros = compiler.process(element.clauses, **options)
    return f"TIMESTAMPADD(MICROSECOND, {micros}, UTC_TIMESTAMP(6))"


def is_older(column: sa.ColumnElement[datetime.datetime], age_s: float) -> sa.ColumnElement[bool]:
    """Return whether something happened at least so many seconds ago.

    What lies further ahead than that was written before the clock was set back; it counts as old,
    or it would be young for as long as the clock was ahead.
    """
    return sa.or_(column <= utc_after(-age_s), column > utc_after(age_s))


def read(connection: sa.Connection) -> datetime.datetime:
    """Return the database's time; starts no snapshot."""
    return connection.execute(sa.select(utc_now())).scalar_one()
