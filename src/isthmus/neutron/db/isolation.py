"""Which isolation level a tier's database may run at, looked at when the tier starts.

What is decided inside a transaction rests on locking reads (`isthmus.store.latest`), so REPEATABLE
READ, which is MariaDB's default, READ COMMITTED and SERIALIZABLE are all right. At READ UNCOMMITTED
a plain read shows what may never be committed, which neither Neutron nor Isthmus is made for.
"""

import sqlalchemy as sa
from neutron_lib import context as n_context

from isthmus import errors
from isthmus.neutron.db.session import reading

_REFUSED = frozenset({"READ UNCOMMITTED", "AUTOCOMMIT"})


def check_database() -> None:
    """Refuse to start on a database whose transactions keep nothing apart.

    Raises:
        Unsupported: the level is too low.
    """
    with reading(n_context.get_admin_context()) as connection:
        check(connection)


def check(connection: sa.Connection) -> None:
    """Check one connection.

    Raises:
        Unsupported: the level is too low.
    """
    if connection.dialect.name == "sqlite":
        return  # one writer at a time
    level = connection.get_isolation_level()
    if level in _REFUSED:
        raise errors.Unsupported(
            f"the database runs transactions at {level}: set transaction_isolation of MariaDB to "
            "REPEATABLE-READ (its default), READ-COMMITTED or SERIALIZABLE"
        )
