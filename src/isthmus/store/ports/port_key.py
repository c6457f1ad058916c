"""Port keys of a site in SQL: which port of a stretched network has which OVN tunnel key.

A caller locks the network first, so that two ports created at once do not choose the same key; the
unique constraint is the last guard. The choice of a key is in `isthmus.federation.leases.key`.
"""

from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from isthmus.model.lease import Block
from isthmus.store.leases.resting import unacknowledged
from isthmus.store.sql.tables import DATAPATHS, PORT_KEYS
from isthmus.store.tiers.latest import Latest

#: Ids in one IN (...).
_CHUNK = 500
_HELD = PORT_KEYS.c.freed.is_(None)
_RESTS = sa.and_(PORT_KEYS.c.freed.is_not(None), PORT_KEYS.c.rested.is_(sa.false()))


def lock_network(connection: sa.Connection, network_id: str) -> bool:
    """Lock a network for changes of its keys and shadows; return False if it is not stretched."""
    query = sa.select(DATAPATHS.c.network_id).where(DATAPATHS.c.network_id == network_id)
    return connection.execute(query.with_for_update()).first() is not None


def find_highest(connection: sa.Connection, network_id: str, block: Block) -> int | None:
    """Return the greatest key of a block that was ever allocated, or None."""
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
    """Return the key that was released longest ago, of those that have rested, or None."""
    ranges = [PORT_KEYS.c.port_key.between(block.first, block.last) for block in blocks]
    query = (
        sa.select(PORT_KEYS.c.port_key)
        .where(
            PORT_KEYS.c.network_id == network_id,
            PORT_KEYS.c.rested.is_(sa.true()),
            sa.or_(sa.false(), *ranges),
        )
        .order_by(PORT_KEYS.c.freed, PORT_KEYS.c.port_key)
        .limit(1)
    )
    found = Latest.read(connection, query, lambda row: int(row.port_key), write=True)
    return found[0] if found else None


def list_resting(
    connection: sa.Connection, network_id: str, limit: int, *, after: int = -1
) -> list[tuple[int, str]]:
    """List (key, former port) of keys that were released and have not rested yet.

    Ports whose deletion has not been reported to central yet are left out.

    Args:
        connection: of the transaction.
        network_id: the network.
        limit: how many at most, the lowest keys first.
        after: only keys above this one.
    """
    query = (
        sa.select(PORT_KEYS.c.port_key, PORT_KEYS.c.port_id)
        .where(
            PORT_KEYS.c.network_id == network_id,
            PORT_KEYS.c.port_key > after,
            _RESTS,
            ~unacknowledged(PORT_KEYS.c.port_id),
        )
        .order_by(PORT_KEYS.c.port_key)
        .limit(limit)
    )
    return [(int(row.port_key), str(row.port_id)) for row in connection.execute(query)]


def list_resting_networks(connection: sa.Connection) -> list[str]:
    """List the networks with released keys that have not rested yet."""
    query = sa.select(PORT_KEYS.c.network_id).where(_RESTS)
    return list(connection.scalars(query.distinct()))


def end_rest(connection: sa.Connection, network_id: str, keys: Collection[tuple[int, str]]) -> int:
    """Record that the former ports of keys are known to be gone everywhere.

    Not where a key has been used and released again since.

    Args:
        connection: of the transaction.
        network_id: the network.
        keys: (key, former port) as `list_resting` has listed them.

    Returns:
        How many keys may be used again.
    """
    over = 0
    for key, port_id in sorted(keys):
        over += connection.execute(
            sa.update(PORT_KEYS)
            .where(
                PORT_KEYS.c.network_id == network_id,
                PORT_KEYS.c.port_key == key,
                PORT_KEYS.c.port_id == port_id,
                _RESTS,
                ~unacknowledged(PORT_KEYS.c.port_id),
            )
            .values(rested=True)
        ).rowcount
    return over


def find_own(connection: sa.Connection, network_id: str, port_id: str) -> int | None:
    """Return the key that a port had here before it moved away, if nobody has it now.

    It need not rest for the port itself. A new one would leave no trace of it, and it would count
    as never used.
    """
    query = sa.select(PORT_KEYS.c.port_key).where(
        PORT_KEYS.c.network_id == network_id,
        PORT_KEYS.c.port_id == port_id,
        PORT_KEYS.c.freed.is_not(None),
    )
    found = Latest.read(connection, query, lambda row: int(row.port_key), write=True)
    return found[0] if found else None


def insert(connection: sa.Connection, port_id: str, network_id: str, key: int) -> None:
    """Record the key of a port; rows of an earlier holder, or of the port itself, are replaced.

    Args:
        connection: of the transaction, which holds the network's lock.
        port_id: the port.
        network_id: its network.
        key: the key.
    """
    _insert(connection, network_id, {port_id: key})


def restore(connection: sa.Connection, network_id: str, keys: Mapping[str, int]) -> None:
    """Restore keys of ports, except where the port or the key is taken.

    Most are there: a site gets all its keys back whenever it registers.

    Args:
        connection: of the transaction, which holds the network's lock.
        network_id: the network.
        keys: by port.
    """
    columns = (PORT_KEYS.c.port_id, PORT_KEYS.c.port_key)
    rows = connection.execute(
        sa.select(*columns).where(PORT_KEYS.c.network_id == network_id, _HELD)
    )
    held = {row.port_id: int(row.port_key) for row in rows}
    taken, lost = set(held.values()), dict[str, int]()
    for port_id, key in sorted(keys.items()):
        if port_id not in held and key not in taken:
            lost[port_id] = key
            taken.add(key)
    ids = sorted(lost)
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        query = sa.select(PORT_KEYS.c.port_id).where(PORT_KEYS.c.port_id.in_(chunk), _HELD)
        elsewhere = set(connection.scalars(query))
        _insert(connection, network_id, {one: lost[one] for one in chunk if one not in elsewhere})


def _insert(connection: sa.Connection, network_id: str, keys: Mapping[str, int]) -> None:
    """Record keys of ports; rows of earlier holders, and of the ports themselves, are replaced."""
    if not keys:
        return
    of_keys = sa.and_(
        PORT_KEYS.c.network_id == network_id, PORT_KEYS.c.port_key.in_(sorted(keys.values()))
    )
    for former in (PORT_KEYS.c.port_id.in_(sorted(keys)), of_keys):
        connection.execute(sa.delete(PORT_KEYS).where(PORT_KEYS.c.freed.is_not(None), former))
    connection.execute(
        sa.insert(PORT_KEYS),
        [
            {"port_id": one, "network_id": network_id, "port_key": key, "rested": False}
            for one, key in keys.items()
        ],
    )


def set_aside(connection: sa.Connection, port_id: str, network_id: str, key: int) -> None:
    """Record a key at rest with its former port, unless either of them has a row.

    Args:
        connection: of the transaction, which holds the network's lock.
        port_id: the former holder.
        network_id: its network.
        key: the key.
    """
    known = sa.select(PORT_KEYS.c.port_id).where(
        sa.or_(
            PORT_KEYS.c.port_id == port_id,
            sa.and_(PORT_KEYS.c.network_id == network_id, PORT_KEYS.c.port_key == key),
        )
    )
    if connection.execute(known.with_for_update()).first() is None:
        insert(connection, port_id, network_id, key)
        free(connection, [port_id])


def free(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Release keys; they rest.

    Which were released first is counted, not timed. The count is a plain read: of two transactions
    that release at the same time neither is the first.
    """
    released = (PORT_KEYS.c.port_id.in_(list(port_ids)), _HELD)
    networks = sa.select(PORT_KEYS.c.network_id).where(*released).distinct()
    for network_id in sorted(connection.scalars(networks)):
        in_network = PORT_KEYS.c.network_id == network_id
        last = connection.scalar(sa.select(sa.func.max(PORT_KEYS.c.freed)).where(in_network))
        connection.execute(
            sa.update(PORT_KEYS)
            .where(in_network, *released)
            .values(freed=(last or 0) + 1, rested=False)
        )


def delete_network(connection: sa.Connection, network_id: str) -> None:
    """Delete every key of a network."""
    connection.execute(sa.delete(PORT_KEYS).where(PORT_KEYS.c.network_id == network_id))


def find_key(connection: sa.Connection, port_id: str) -> int | None:
    """Return the key of a port, or None."""
    found = connection.execute(
        sa.select(PORT_KEYS.c.port_key).where(PORT_KEYS.c.port_id == port_id, _HELD)
    ).scalar()
    return None if found is None else int(found)


def find_keys(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, int]:
    """List the keys of ports, by port; one without a key is missing."""
    query = sa.select(PORT_KEYS.c.port_id, PORT_KEYS.c.port_key).where(
        PORT_KEYS.c.port_id.in_(list(port_ids)), _HELD
    )
    return {row.port_id: int(row.port_key) for row in connection.execute(query)}


def select_holders() -> "sa.Select[str]":
    """Select the ports that have a key, for the IN of a statement of Neutron's."""
    return sa.select(PORT_KEYS.c.port_id).where(_HELD)


def find_holder(connection: sa.Connection, network_id: str, key: int) -> str | None:
    """Return the port that has a key, or None."""
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
