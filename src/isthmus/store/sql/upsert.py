"""Inserts of rows that may exist already, for SQLite and MariaDB.

Both are one statement, so two transactions that insert the same row at once need no retry. On
MariaDB, and for `insert_or_keep` on SQLite too, a row *exists* where any unique key is equal; for
`insert_or_update` on SQLite where the primary key is. A table with a second unique key that must
not be overwritten is written without these (`isthmus.store.ports.location`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

#: The columns of the row that was to be inserted.
New = sa.ColumnCollection[str, sa.ColumnElement[Any]]


def insert_or_keep(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """Return an INSERT that does nothing if the row exists.

    The existing row is locked on MariaDB.
    """
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    same = next(iter(table.primary_key.columns))
    return mysql.insert(table).on_duplicate_key_update({same.name: same})


def insert_or_update(
    connection: sa.Connection, table: sa.Table, change: Callable[[New], Mapping[str, Any]]
) -> sa.Insert:
    """Return an INSERT that updates the row if it exists.

    An INSERT .. SELECT needs a WHERE: without one, SQLite parses the ON of ON CONFLICT as a join's.

    Args:
        connection: of the transaction; its dialect counts.
        table: the table.
        change: returns the values to set, by column name, from the columns of the new row; the
            table's own columns are those of the existing row.
    """
    if connection.dialect.name == "sqlite":
        insert = sqlite.insert(table)
        return insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_=change(insert.excluded)
        )
    other = mysql.insert(table)
    return other.on_duplicate_key_update(dict(change(other.inserted)))
