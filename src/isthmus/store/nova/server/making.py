"""The database of a new cell and its user: made and dropped by the server's administrator."""

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.compute.adding import Holds
from isthmus.store.nova import tables
from isthmus.store.nova.reading import writing

_WHOSE = "the database server of the new cell"
#: What Nova's tables are made for: a column of four bytes a character would not fit its indexes.
_CHARACTER_SET = "utf8mb3"


class CellDatabaseServer:
    """A MariaDB or MySQL on which cells' databases are made."""

    def __init__(self, admin: str, timeout_s: float) -> None:
        """Set where it is.

        Args:
            admin: URL with the login of an administrator.
            timeout_s: for each answer.
        """
        self._admin = admin
        self._timeout_s = timeout_s

    @contextlib.contextmanager
    def _open(self) -> Iterator[sa.Connection]:
        with writing(self._admin, self._timeout_s, _WHOSE) as connection:
            yield connection

    def read(self, url: str) -> Holds:
        """Return what the database of a URL has.

        Raises:
            Unreachable: the server does not answer, or does not let the administrator in.
        """
        name = _parse(url).database
        with self._open() as connection:
            schema = sa.text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :name")
            if connection.scalar(schema, {"name": name}) is None:
                return Holds()
            count = sa.text(
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = :name"
            )
            there = sa.inspect(connection).has_table(tables.INSTANCES.name, schema=name)
            own = sa.table(tables.INSTANCES.name, sa.column("deleted"), schema=name)
            alive = sa.select(sa.func.count()).select_from(own).where(own.c.deleted == 0)
            return Holds(
                there=True,
                tables=connection.scalar(count, {"name": name}) or 0,
                servers=(connection.scalar(alive) or 0) if there else 0,
            )

    def ensure_database(self, url: str, reached_from: str) -> None:
        """Make the database of a URL, empty, and the user that logs in there, with its rights.

        Args:
            url: of the cell, with the login of the user.
            reached_from: from where the user may log in, as the server's accounts have it.

        Raises:
            Unreachable: the server does not answer.
            Inconsistent: it refuses that.
        """
        parsed = _parse(url)
        with self._open() as connection:
            name = _quote(connection, parsed.database)
            user = {"user": parsed.username, "from": reached_from, "password": parsed.password}
            connection.exec_driver_sql(
                f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET {_CHARACTER_SET}"
            )
            account = sa.text("CREATE USER IF NOT EXISTS :user@:from IDENTIFIED BY :password")
            connection.execute(account, user)
            connection.execute(sa.text("ALTER USER :user@:from IDENTIFIED BY :password"), user)
            del user["password"]
            connection.execute(sa.text(f"GRANT ALL ON {name}.* TO :user@:from"), user)

    def drop(self, url: str, reached_from: str) -> None:
        """Drop the database of a URL and its user, and end what they do.

        Args:
            url: of the cell.
            reached_from: from where the user may log in.

        Raises:
            Unreachable: the server does not answer.
        """
        parsed = _parse(url)
        with self._open() as connection:
            user = {"user": parsed.username, "from": reached_from}
            connection.execute(sa.text("DROP USER IF EXISTS :user@:from"), user)
            # A migration whose command was killed goes on in the server's thread.
            mine = sa.text("SELECT id FROM information_schema.processlist WHERE user = :user")
            for number in connection.scalars(mine, {"user": parsed.username}).all():
                with contextlib.suppress(sa.exc.DBAPIError):  # it has ended by itself
                    connection.exec_driver_sql(f"KILL {int(number)}")
            name = _quote(connection, parsed.database)
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")


def _parse(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise errors.Invalid("the URL of the cell's database makes no sense") from error


def _quote(connection: sa.Connection, name: Any) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(str(name))
