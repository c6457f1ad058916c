"""The isolation levels at which a tier's database may run.

Decisions inside a transaction rest on locking reads (`isthmus.store.tiers.latest`), so REPEATABLE
READ, which is MariaDB's default, READ COMMITTED and SERIALIZABLE are all fine. At READ UNCOMMITTED
a plain read shows what may never be committed, which neither Neutron nor Isthmus is made for.
"""

import sqlalchemy as sa

from isthmus import errors

_REFUSED = frozenset({"READ UNCOMMITTED", "AUTOCOMMIT"})


def check(connection: sa.Connection) -> None:
    """Check the level of a connection's transactions.

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
