"""The ports of routers on external networks, as both tiers carry them."""

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3
from neutron.db.qos import models as qos
from neutron_lib import constants

from isthmus.model.exits.request import Address
from isthmus.neutron.db import interfaces

POLICY = "qos_policy_id"  #: Neutron's word for it in `external_gateway_info`
OWNER = constants.DEVICE_OWNER_ROUTER_GW
_PORTS = models_v2.Port.__table__
_JOINS = l3.RouterPort.__table__
_ROUTERS = l3.Router.__table__
_POLICIES = qos.QosRouterGatewayIPPolicyBinding.__table__


def list_gateways(
    connection: sa.Connection, router_ids: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """List the gateway ports of routers by router, in the order of ids, in the form that is sent.

    A QoS policy is of the gateway that Neutron shows as `external_gateway_info`; what older peers
    do not know is left out where there is none.

    Args:
        connection: of either tier's database.
        router_ids: which routers.
    """
    found: dict[str, list[dict[str, Any]]] = {one: [] for one in router_ids}
    query = (
        sa.select(
            _JOINS.c.router_id,
            _PORTS.c.id,
            _PORTS.c.network_id,
            _PORTS.c.mac_address,
            _ROUTERS.c.enable_snat,
            _POLICIES.c.policy_id,
        )
        .join_from(_JOINS, _PORTS, _JOINS.c.port_id == _PORTS.c.id)
        .join(_ROUTERS, _ROUTERS.c.id == _JOINS.c.router_id)
        .join(
            _POLICIES,
            sa.and_(
                _POLICIES.c.router_id == _ROUTERS.c.id, _ROUTERS.c.gw_port_id == _JOINS.c.port_id
            ),
            isouter=True,
        )
        .where(_JOINS.c.router_id.in_(sorted(found)), _JOINS.c.port_type == OWNER)
        .order_by(_PORTS.c.id)
    )
    by_port: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query):
        shown = {
            "id": row.id,
            "network_id": row.network_id,
            "mac_address": row.mac_address,
            "enable_snat": bool(row.enable_snat),
            "fixed_ips": [],
        }
        if row.policy_id is not None:
            shown[POLICY] = row.policy_id
        found[row.router_id].append(shown)
        by_port[row.id] = shown
    interfaces.add_addresses(connection, by_port)
    return found


def identify(port: Mapping[str, Any]) -> tuple[str, frozenset[Address]]:
    """Return by what a plan names the seat of a gateway: its network and its addresses."""
    return port["network_id"], frozenset(
        ipaddress.ip_address(one["ip_address"]) for one in port["fixed_ips"]
    )
