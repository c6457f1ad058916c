"""Leases that travel with the object whose numbers they are of."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from isthmus.store.sql.tables import LEASES


def add_leases(connection: sa.Connection, states: Mapping[str, dict[str, Any]]) -> None:
    """Add to networks or subnets the blocks of them that this site has."""
    for state in states.values():
        state["isthmus:leases"] = []
    for row in connection.execute(sa.select(LEASES).where(LEASES.c.pool_id.in_(list(states)))):
        block = {"first": row.first, "last": row.last}
        states[row.pool_id]["isthmus:leases"].append(block)
