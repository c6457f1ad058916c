"""What a site names of itself when it registers."""

import ipaddress
from collections.abc import Sequence

import sqlalchemy as sa
from neutron_lib import constants

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.store.delivery import journal
from isthmus.store.leases import lease
from isthmus.store.ports import datapath, port_key
from isthmus.store.tiers import mapping

#: Neutron's.
_PORTS = sa.table(
    "ports",
    *(sa.column(one) for one in ("id", "network_id", "device_owner", "device_id")),
)
_ADDRESSES = sa.table(
    "ipallocations", sa.column("port_id"), sa.column("subnet_id"), sa.column("ip_address")
)


def list_leases(connection: sa.Connection) -> list[dict[str, str | None]]:
    """List the leases, in the form in which they are sent."""
    return [
        {
            "id": one.id,
            "kind": one.kind.value,
            "pool_id": one.pool_id,
            "first": str(one.block.first),
            "last": str(one.block.last),
            "origin": one.origin,
        }
        for one in lease.list_leases(connection)
    ]


def list_ports(connection: sa.Connection) -> list[str]:
    """List the ports on central's networks; each of them has its home here, or should have."""
    query = (
        sa.select(_PORTS.c.id)
        .where(
            _PORTS.c.network_id.in_(datapath.select_networks()),
            _PORTS.c.device_owner != constants.DEVICE_OWNER_DISTRIBUTED,
            _PORTS.c.device_id.not_in(mapping.select_ids(ResourceType.ROUTER)),
        )
        .order_by(_PORTS.c.id)
    )
    return list(connection.scalars(query))


def list_addresses(
    connection: sa.Connection, ports: Sequence[str]
) -> dict[str, list[tuple[int, str]]]:
    """List the addresses of ports by subnet: the index of the port in the list, and the number."""
    places = {port_id: place for place, port_id in enumerate(ports)}
    found: dict[str, list[tuple[int, str]]] = {}
    query = (
        sa.select(_ADDRESSES)
        .join(_PORTS, _PORTS.c.id == _ADDRESSES.c.port_id)
        .where(_PORTS.c.network_id.in_(datapath.select_networks()))
        .order_by(_ADDRESSES.c.subnet_id, _ADDRESSES.c.ip_address)
    )
    for row in connection.execute(query):
        if row.port_id in places:
            number = int(ipaddress.ip_address(row.ip_address))
            found.setdefault(row.subnet_id, []).append((places[row.port_id], str(number)))
    return found


def tell_of_ports(connection: sa.Connection) -> None:
    """Record every port here that has a key for central, which learns again what it has lost.

    None that central has just given its key back, because this site was restored: it is not here
    yet, and a report of it would say that it was deleted.
    """
    interfaces_of_central = sa.and_(
        _PORTS.c.device_id.in_(mapping.select_ids(ResourceType.ROUTER)),
        _PORTS.c.device_owner != constants.DEVICE_OWNER_ROUTER_GW,
    )
    interfaces = set(connection.scalars(sa.select(_PORTS.c.id).where(interfaces_of_central)))
    here = set(connection.scalars(sa.select(_PORTS.c.id)))
    told = (port_key.list_keys(connection).keys() & here) - interfaces
    journal.record(connection, [IntentKey(CENTRAL, ResourceType.PORT, one) for one in told])
