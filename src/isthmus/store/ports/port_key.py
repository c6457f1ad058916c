"""Port keys of a site in SQL: which port of a stretched network has which OVN tunnel key.

A caller locks the network first, so that two ports that are made at once do not choose the same
key; the unique constraint is the last guard. Which key to choose is
`isthmus.federation.leases.key`.
"""

import datetime
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from isthmus.model.lease import Block
from isthmus.store.leases.resting import unacknowledged
from isthmus.store.sql.tables import DATAPATHS, PORT_KEYS
from isthmus.store.tiers.latest import Latest

_HELD = PORT_KEYS.c.freed_at.is_(None)


def lock_network(connection: sa.Connection, network_id: str) -> bool:
    """Lock a network for changes of its keys and shadows; False where it is not stretched."""
    query = sa.select(DATAPATHS.c.network_id).where(DATAPATHS.c.network_id == network_id)
    return connection.execute(query.with_for_update()).first() is not None


def find_highest(connection: sa.Connection, network_id: str, block: Block) -> int | None:
    """Find the greatest key of a block that was ever given out, None for none."""
    query = (
        sa.select(PORT_KEYS.c.port_key)
        .where(
            PORT_KEYS.c.network_id == network_id,
            PORT_KEYS.c.port_key.between(block.first, block.last),
        )
        .order_by(PORT_KEYS.c.port_key.desc())
        .limit(1)
    )
    found = Latest.read(connection, query, lambda row: int(row.port_key), write=True)
    return found[0] if found else None


def find_rested(connection: sa.Connection, network_id: str, blocks: Iterable[Block]) -> int | None:
    """Find the key that was given back longest ago, of those that have rested; None for none."""
    ranges = [PORT_KEYS.c.port_key.between(block.first, block.last) for block in blocks]
    query = (
        sa.select(PORT_KEYS.c.port_key)
        .where(
            PORT_KEYS.c.network_id == network_id,
            PORT_KEYS.c.rested.is_(sa.true()),
            sa.or_(sa.false(), *ranges),
        )
        .order_by(PORT_KEYS.c.freed_at, PORT_KEYS.c.port_key)
        .limit(1)
    )
    found = Latest.read(connection, query, lambda row: int(row.port_key), write=True)
    return found[0] if found else None


def list_resting(connection: sa.Connection, network_id: str, limit: int) -> list[str]:
    """List the former holders of keys that were given back and have not rested yet.

    Those of whose end central itself has not heard are left out.
    """
    query = (
        sa.select(PORT_KEYS.c.port_id)
        .where(
            PORT_KEYS.c.network_id == network_id,
            PORT_KEYS.c.freed_at.is_not(None),
            PORT_KEYS.c.rested.is_(sa.false()),
            ~unacknowledged(PORT_KEYS.c.port_id),
        )
        .order_by(PORT_KEYS.c.freed_at)
        .limit(limit)
    )
    return list(connection.scalars(query))


def list_resting_networks(connection: sa.Connection) -> list[str]:
    """List the networks of which keys were given back that have not rested yet."""
    query = sa.select(PORT_KEYS.c.network_id).where(
        PORT_KEYS.c.freed_at.is_not(None), PORT_KEYS.c.rested.is_(sa.false())
    )
    return list(connection.scalars(query.distinct()))


def end_rest(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Note that nobody has to hear of these ports any more."""
    connection.execute(
        sa.update(PORT_KEYS)
        .where(PORT_KEYS.c.port_id.in_(list(port_ids)), PORT_KEYS.c.freed_at.is_not(None))
        .values(rested=True)
    )


def insert(connection: sa.Connection, port_id: str, network_id: str, key: int) -> None:
    """Give a key to a port; what is left of an earlier holder, or of the port itself, goes."""
    connection.execute(
        sa.delete(PORT_KEYS).where(
            PORT_KEYS.c.freed_at.is_not(None),
            sa.or_(
                PORT_KEYS.c.port_id == port_id,
                sa.and_(PORT_KEYS.c.network_id == network_id, PORT_KEYS.c.port_key == key),
            ),
        )
    )
    connection.execute(
        sa.insert(PORT_KEYS).values(
            port_id=port_id, network_id=network_id, port_key=key, rested=False
        )
    )


def restore(connection: sa.Connection, port_id: str, network_id: str, key: int) -> None:
    """Give a port its key back, unless it has one, or another port has that one."""
    held = sa.select(PORT_KEYS.c.port_id).where(
        sa.or_(
            PORT_KEYS.c.port_id == port_id,
            sa.and_(PORT_KEYS.c.network_id == network_id, PORT_KEYS.c.port_key == key),
        ),
        _HELD,
    )
    if connection.execute(held).first() is None:
        insert(connection, port_id, network_id, key)


def set_aside(
    connection: sa.Connection, port_id: str, network_id: str, key: int, now: datetime.datetime
) -> None:
    """Note that a port had a key which rests, where neither is known of the key nor of the port."""
    known = sa.select(PORT_KEYS.c.port_id).where(
        sa.or_(
            PORT_KEYS.c.port_id == port_id,
            sa.and_(PORT_KEYS.c.network_id == network_id, PORT_KEYS.c.port_key == key),
        )
    )
    if connection.execute(known.with_for_update()).first() is None:
        insert(connection, port_id, network_id, key)
        free(connection, [port_id], now)


def free(connection: sa.Connection, port_ids: Collection[str], now: datetime.datetime) -> None:
    """Take keys back; they rest."""
    connection.execute(
        sa.update(PORT_KEYS)
        .where(PORT_KEYS.c.port_id.in_(list(port_ids)), _HELD)
        .values(freed_at=now, rested=False)
    )


def delete_network(connection: sa.Connection, network_id: str) -> None:
    """Forget every key of a network."""
    connection.execute(sa.delete(PORT_KEYS).where(PORT_KEYS.c.network_id == network_id))


def find_key(connection: sa.Connection, port_id: str) -> int | None:
    """Find the key of a port."""
    found = connection.execute(
        sa.select(PORT_KEYS.c.port_key).where(PORT_KEYS.c.port_id == port_id, _HELD)
    ).scalar()
    return None if found is None else int(found)


def find_keys(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, int]:
    """Find the keys of ports, by port; one without a key is missing."""
    query = sa.select(PORT_KEYS.c.port_id, PORT_KEYS.c.port_key).where(
        PORT_KEYS.c.port_id.in_(list(port_ids)), _HELD
    )
    return {row.port_id: int(row.port_key) for row in connection.execute(query)}


def select_holders() -> "sa.Select[str]":
    """Select the ports that have a key, for the IN of a statement of Neutron's."""
    return sa.select(PORT_KEYS.c.port_id).where(_HELD)


def find_holder(connection: sa.Connection, network_id: str, key: int) -> str | None:
    """Find the port that has a key."""
    found = connection.execute(
        sa.select(PORT_KEYS.c.port_id).where(
            PORT_KEYS.c.network_id == network_id, PORT_KEYS.c.port_key == key, _HELD
        )
    ).scalar()
    return None if found is None else str(found)


def list_keys(connection: sa.Connection) -> dict[str, tuple[str, int]]:
    """List (network, key) of every port that has one, by port."""
    query = sa.select(PORT_KEYS.c.port_id, PORT_KEYS.c.network_id, PORT_KEYS.c.port_key)
    return {
        port_id: (network_id, int(key))
        for port_id, network_id, key in connection.execute(query.where(_HELD))
    }
