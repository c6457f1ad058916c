"""Inserts that meet a row which is there already, for SQLite and MariaDB.

Both are one statement, so two transactions that insert the same row at once need no second try. On
SQLite a row is *there* where the primary key is the same; on MariaDB where any unique key is. A
table with a second unique key that must not be overwritten is written without these
(`isthmus.store.ports.location`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

#: The columns of the row that was to be inserted.
New = sa.ColumnCollection[str, sa.ColumnElement[Any]]


def insert_or_keep(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """Return an INSERT that does nothing where the row is there already.

    The row that is there is locked on MariaDB.
    """
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    same = next(iter(table.primary_key.columns))
    return mysql.insert(table).on_duplicate_key_update({same.name: same})


def insert_or_update(
    connection: sa.Connection, table: sa.Table, change: Callable[[New], Mapping[str, Any]]
) -> sa.Insert:
    """Return an INSERT that updates the row where it is there already.

    An INSERT .. SELECT needs a WHERE: without, SQLite takes the ON of ON CONFLICT for a join's.

    Args:
        connection: where it is to run; its dialect counts.
        table: into which.
        change: makes the values to set, by column name, given the columns of the new row; the
            table's own columns are those of the row that is there.
    """
    if connection.dialect.name == "sqlite":
        insert = sqlite.insert(table)
        return insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_=change(insert.excluded)
        )
    other = mysql.insert(table)
    return other.on_duplicate_key_update(dict(change(other.inserted)))
