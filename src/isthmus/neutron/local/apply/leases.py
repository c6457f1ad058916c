"""Leases that are sent with the object whose numbers they are."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from isthmus.model import attribute
from isthmus.store.leases import lease


def add_leases(connection: sa.Connection, states: Mapping[str, dict[str, Any]]) -> None:
    """Add to networks or subnets the blocks of them that this site has."""
    for state in states.values():
        state[attribute.LEASES] = []
    for one in lease.list_leases(connection, pool_ids=list(states)):
        states[one.pool_id][attribute.LEASES].append(lease.to_state(one))
