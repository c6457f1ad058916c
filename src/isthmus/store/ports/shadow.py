"""Shadow ports of a site in SQL: what its OVN rows are made from."""

import ipaddress
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from isthmus.model.dataplane.shadow import Shadow
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import SHADOWS

#: Ids in one IN (...).
_CHUNK = 500
#: What a list of shadows can be filtered and sorted by, besides the port.
_FILTERED = ("network_id", "chassis", "port_key")

_T = TypeVar("_T")


def list_shadows(
    connection: sa.Connection, *, network_ids: Collection[str] | None = None
) -> list[Shadow]:
    """List shadows; without networks, all there are."""
    query = sa.select(SHADOWS.c.state).order_by(SHADOWS.c.port_id)
    if network_ids is not None:
        query = query.where(SHADOWS.c.network_id.in_(list(network_ids)))
    return [_read(state) for state in connection.execute(query).scalars()]


def list_numbers(connection: sa.Connection) -> list[tuple[str, str, str, int, list[str]]]:
    """List, of every shadow, its home, port, network, key and addresses, as numbers in text."""
    return [
        (
            one.site,
            one.port_id,
            one.network_id,
            one.port_key,
            [str(int(ipaddress.ip_address(text))) for text in one.addresses],
        )
        for one in list_shadows(connection)
    ]


def list_page(
    connection: sa.Connection, *, filters: Mapping[str, Sequence[Any]], page: Page
) -> list[Shadow]:
    """List shadows as an API pages them; `id` is the port's.

    Raises:
        Invalid: a sort key, a marker or a filter's value is invalid.
    """
    columns = {"id": SHADOWS.c.port_id, **{name: SHADOWS.c[name] for name in _FILTERED}}
    rows = select_page(connection, columns, filters=filters, page=page)
    found = get_shadows(connection, [row["id"] for row in rows])
    return [found[row["id"]] for row in rows]


def get_shadows(connection: sa.Connection, port_ids: Collection[str]) -> dict[str, Shadow]:
    """List the shadows of certain ports, by port; one that does not exist is missing."""
    found = {}
    for chunk in _chunks(sorted(set(port_ids))):
        query = sa.select(SHADOWS.c.state).where(SHADOWS.c.port_id.in_(chunk))
        for state in connection.execute(query).scalars():
            shadow = _read(state)
            found[shadow.port_id] = shadow
    return found


def list_on_chassis(connection: sa.Connection, names: Collection[str]) -> list[Shadow]:
    """List the shadows on certain hypervisors."""
    query = sa.select(SHADOWS.c.state).where(SHADOWS.c.chassis.in_(list(names)))
    return [_read(state) for state in connection.execute(query).scalars()]


def list_one_per_chassis(
    connection: sa.Connection, names: Collection[str] | None = None
) -> list[Shadow]:
    """List one shadow for each hypervisor: enough to know the hypervisor."""
    query = sa.select(sa.func.min(SHADOWS.c.port_id)).group_by(SHADOWS.c.chassis)
    if names is not None:
        query = query.where(SHADOWS.c.chassis.in_(list(names)))
    return list(get_shadows(connection, connection.execute(query).scalars().all()).values())


def find_holders(
    connection: sa.Connection, keys: Collection[tuple[str, int]]
) -> dict[tuple[str, int], str]:
    """List the ports whose shadows have these keys, by (network, key); free keys are missing."""
    wanted: dict[str, list[int]] = {}
    for network_id, key in keys:
        wanted.setdefault(network_id, []).append(key)
    found = {}
    for network_id, numbers in wanted.items():
        for chunk in _chunks(numbers):
            query = sa.select(SHADOWS.c.port_key, SHADOWS.c.port_id).where(
                SHADOWS.c.network_id == network_id, SHADOWS.c.port_key.in_(chunk)
            )
            for key, port_id in connection.execute(query):
                found[network_id, int(key)] = port_id
    return found


def count_by_network(connection: sa.Connection, network_ids: Collection[str]) -> dict[str, int]:
    """Count the shadows of each network; one without any is missing."""
    query = (
        sa.select(SHADOWS.c.network_id, sa.func.count())
        .where(SHADOWS.c.network_id.in_(list(network_ids)))
        .group_by(SHADOWS.c.network_id)
    )
    return {network_id: int(number) for network_id, number in connection.execute(query)}


def put(connection: sa.Connection, shadows: Sequence[Shadow]) -> None:
    """Insert shadows, or replace those of the same ports."""
    if not shadows:
        return
    delete(connection, [shadow.port_id for shadow in shadows])
    connection.execute(
        sa.insert(SHADOWS),
        [
            {
                "port_id": shadow.port_id,
                "network_id": shadow.network_id,
                "chassis": shadow.chassis,
                "port_key": shadow.port_key,
                "state": json.dumps(shadow.to_dict(), sort_keys=True),
            }
            for shadow in shadows
        ],
    )


def delete(connection: sa.Connection, port_ids: Collection[str]) -> None:
    """Delete the shadows of ports."""
    for chunk in _chunks(sorted(set(port_ids))):
        connection.execute(sa.delete(SHADOWS).where(SHADOWS.c.port_id.in_(chunk)))


def delete_network(connection: sa.Connection, network_id: str) -> None:
    """Delete the shadows of a network."""
    connection.execute(sa.delete(SHADOWS).where(SHADOWS.c.network_id == network_id))


def list_ids_of_groups(connection: sa.Connection, group_ids: Collection[str]) -> list[str]:
    """List the ports whose shadows are members of any of these security groups."""
    found: list[str] = []
    for group_id in group_ids:
        query = sa.select(SHADOWS.c.port_id).where(SHADOWS.c.state.contains(f'"{group_id}"'))
        found += connection.execute(query).scalars().all()
    return sorted(set(found))


def _chunks(ids: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def _read(state: str) -> Shadow:
    return Shadow.from_dict(json.loads(state))
