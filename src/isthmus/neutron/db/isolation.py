"""Checks the database's isolation level when a tier starts."""

from neutron_lib import context as n_context

from isthmus.neutron.db.session import reading
from isthmus.store.sql import isolation


def check_database() -> None:
    """Refuse to start on a database whose transactions are not isolated.

    Raises:
        Unsupported: the level is too low.
    """
    with reading(n_context.get_admin_context()) as connection:
        isolation.check(connection)
