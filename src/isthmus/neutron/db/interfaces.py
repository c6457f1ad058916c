"""The ports of routers on the networks that they join, as both tiers compare and carry them."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3
from neutron_lib import constants

from isthmus.model import attribute
from isthmus.neutron.db.session import reading

#: Owner of such ports with OVN, which has neither distributed nor replicated ones.
OWNER = constants.DEVICE_OWNER_ROUTER_INTF
_PORTS = models_v2.Port.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__
_JOINS = l3.RouterPort.__table__
_OF_ROUTER = {"device_id", "device_owner"}


def list_interfaces(
    connection: sa.Connection, router_ids: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """List the interfaces of routers by router, in one order; gateways are none.

    Args:
        connection: of either tier's database.
        router_ids: which routers.
    """
    found: dict[str, list[dict[str, Any]]] = {one: [] for one in router_ids}
    query = (
        sa.select(
            _JOINS.c.router_id,
            _PORTS.c.id,
            _PORTS.c.name,
            _PORTS.c.project_id,
            _PORTS.c.network_id,
            _PORTS.c.mac_address,
            _PORTS.c.admin_state_up,
        )
        .join_from(_JOINS, _PORTS, _JOINS.c.port_id == _PORTS.c.id)
        .where(_JOINS.c.router_id.in_(sorted(found)), _JOINS.c.port_type == OWNER)
        .order_by(_PORTS.c.id)
    )
    by_port: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query):
        shown = {
            "id": row.id,
            "name": row.name or "",
            "project_id": row.project_id,
            "network_id": row.network_id,
            "mac_address": row.mac_address,
            "admin_state_up": bool(row.admin_state_up),
            "fixed_ips": [],
        }
        found[row.router_id].append(shown)
        by_port[row.id] = shown
    add_addresses(connection, by_port)
    return found


def add_addresses(connection: sa.Connection, ports: Mapping[str, dict[str, Any]]) -> None:
    """Add to ports, by id, their fixed IPs in the order of subnets and addresses."""
    if not ports:
        return
    query = (
        sa.select(_ALLOCATIONS.c.port_id, _ALLOCATIONS.c.subnet_id, _ALLOCATIONS.c.ip_address)
        .where(_ALLOCATIONS.c.port_id.in_(sorted(ports)))
        .order_by(_ALLOCATIONS.c.subnet_id, _ALLOCATIONS.c.ip_address)
    )
    for row in connection.execute(query):
        said = {"subnet_id": row.subnet_id, "ip_address": row.ip_address}
        ports[row.port_id]["fixed_ips"].append(said)


def is_said_again(context: Any, port_id: str, body: Mapping[str, Any]) -> bool:
    """Return whether a change of a port says once more of which router it is an interface.

    Neutron's router plugin makes such a change of each port that it has just made for a router; it
    costs ML2 as much as making it.
    """
    if body.keys() != _OF_ROUTER or body["device_owner"] != OWNER:
        return False
    query = sa.select(_PORTS.c.device_id, _PORTS.c.device_owner).where(_PORTS.c.id == port_id)
    with reading(context) as connection:
        row = connection.execute(query).first()
    return row is not None and row._asdict() == body


def add_interfaces(connection: sa.Connection, states: dict[str, dict[str, Any]]) -> None:
    """Add to routers their interfaces, which Neutron does not show."""
    for router_id, interfaces in list_interfaces(connection, states.keys()).items():
        states[router_id][attribute.INTERFACES] = interfaces
