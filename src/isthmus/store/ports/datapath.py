"""The tunnel key of each stretched network's logical switch, and of a router's transit network.

Keys count down from the top of OVN's 24-bit space, away from the low end where ovn-ic and northd
allocate theirs, and are the same at every site.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.store.sql.page import read_rows
from isthmus.store.sql.tables import DATAPATHS, TRANSIT_PORTS
from isthmus.store.sql.upsert import insert_or_keep

#: Source: OVN_MAX_DP_KEY, (1 << 24) - 1, in OVN's lib/ovn-util.h.
HIGHEST_KEY = 2**24 - 1
#: Source: OVN_MIN_DP_KEY_GLOBAL, same file; ovn-ic allocates keys from here upwards.
LOWEST_KEY = 16711681


def ensure_key(connection: sa.Connection, network_id: str) -> int:
    """Return a network's key; the first time, allocate the greatest free one.

    Raises:
        Exhausted: every key is taken.
        sqlalchemy.exc.IntegrityError: two writers chose the same key at once; try again.
    """
    known = connection.scalar(
        sa.select(DATAPATHS.c.datapath_key)
        .where(DATAPATHS.c.network_id == network_id)
        .with_for_update(read=True)  # another transaction may be freeing it
    )
    if known is not None:
        return int(known)
    lowest = connection.execute(sa.select(sa.func.min(DATAPATHS.c.datapath_key))).scalar()
    key = HIGHEST_KEY if lowest is None else int(lowest) - 1
    if key < LOWEST_KEY:
        key = _find_gap(connection)
    connection.execute(sa.insert(DATAPATHS).values(network_id=network_id, datapath_key=key))
    return key


def adopt(connection: sa.Connection, network_id: str, key: int) -> bool:
    """Record the key that a network has at a site already, unless another network has it."""
    if not LOWEST_KEY <= key <= HIGHEST_KEY or key in set(
        connection.scalars(sa.select(DATAPATHS.c.datapath_key))
    ):
        return False
    connection.execute(sa.insert(DATAPATHS).values(network_id=network_id, datapath_key=key))
    return True


def record(connection: sa.Connection, network_id: str, key: int) -> None:
    """Record the key that central allocated to a network, at a site; idempotent.

    Raises:
        Stale: another network still has the key here.
    """
    row = {"network_id": network_id, "datapath_key": key}
    connection.execute(insert_or_keep(connection, DATAPATHS).values(row))
    holders = find_holders(connection, key, network_id)
    if network_id not in holders:
        raise errors.Stale(
            f"network {network_id}: its tunnel key {key} is still that of network "
            f"{', '.join(sorted(holders))} at this site"
        )


def find_holders(connection: sa.Connection, key: int, but_also: str | None = None) -> set[str]:
    """Return which networks have a key, and one that is named if it has any; a locking read."""
    query = sa.select(DATAPATHS.c.network_id).where(
        sa.or_(DATAPATHS.c.network_id == but_also, DATAPATHS.c.datapath_key == key)
    )
    return set(connection.scalars(query.with_for_update(read=True)))


def find_key(connection: sa.Connection, network_id: str) -> int | None:
    """Return a network's key, or None."""
    return list_keys(connection, [network_id]).get(network_id)


def list_keys(
    connection: sa.Connection, network_ids: Collection[str], *, latest: bool = False
) -> dict[str, int]:
    """List the keys of networks that have one; `latest`: by a locking read."""
    query = sa.select(DATAPATHS.c.network_id, DATAPATHS.c.datapath_key).where(
        DATAPATHS.c.network_id.in_(list(network_ids))
    )
    if latest:
        query = query.order_by(DATAPATHS.c.network_id).with_for_update(read=True)
    return {network_id: int(key) for network_id, key in connection.execute(query)}


def list_all_keys(connection: sa.Connection) -> dict[str, int]:
    """List the key of every network that has one."""
    query = sa.select(DATAPATHS.c.network_id, DATAPATHS.c.datapath_key)
    return {network_id: int(key) for network_id, key in connection.execute(query)}


def list_rows(
    connection: sa.Connection, network_ids: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """List the rows of networks as the holdings show them; None means all.

    Transit networks of routers are none of Neutron's, and are not shown.
    """
    query = sa.select(DATAPATHS).where(
        DATAPATHS.c.network_id.not_in(sa.select(TRANSIT_PORTS.c.router_id))
    )
    if network_ids is not None:
        query = query.where(DATAPATHS.c.network_id.in_(list(network_ids)))
    return read_rows(connection, query)


def select_networks() -> "sa.Select[str]":
    """Select the networks that have a key, for the IN of a statement of Neutron's.

    At a site those are the networks that are stretched to it.
    """
    return sa.select(DATAPATHS.c.network_id)


def delete(connection: sa.Connection, network_id: str) -> None:
    """Free a network's key."""
    connection.execute(sa.delete(DATAPATHS).where(DATAPATHS.c.network_id == network_id))


def _find_gap(connection: sa.Connection) -> int:
    taken = set(connection.execute(sa.select(DATAPATHS.c.datapath_key)).scalars())
    for key in range(HIGHEST_KEY, LOWEST_KEY - 1, -1):
        if key not in taken:
            return key
    raise errors.Exhausted(f"all {HIGHEST_KEY - LOWEST_KEY + 1} datapath keys are in use")
