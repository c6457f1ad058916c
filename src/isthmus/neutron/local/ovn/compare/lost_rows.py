"""What OVN lost of Neutron's routers, of subports of trunks and of limits of ports.

Neutron notes a revision of each object, and not what OVN has of it: what is deleted there, or
changed, is noticed by nobody.
"""

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.common.ovn import utils as ovn_utils
from neutron.db import models_v2
from neutron.db.models import l3
from neutron.db.qos import models as qos
from neutron.services.trunk import models as trunk
from neutron_lib import constants

from isthmus.dataplane.protocols import Database
from isthmus.federation.lost_rules import Lost
from isthmus.neutron.local.ovn.lost import is_written
from isthmus.store.ports import datapath

_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__
_ROUTERS = l3.Router.__table__
_JOINS = l3.RouterPort.__table__
_ROUTES = l3.RouterRoute.__table__
_TRUNKS = trunk.Trunk.__table__
_SUBPORTS = trunk.SubPort.__table__
_LIMITS = (qos.QosBandwidthLimitRule.__table__, qos.QosDscpMarkingRule.__table__)
_OF_PORT = qos.QosPortPolicyBinding.__table__
_OF_NETWORK = qos.QosNetworkPolicyBinding.__table__
_OWNERS = (constants.DEVICE_OWNER_ROUTER_INTF, constants.DEVICE_OWNER_ROUTER_GW)
_DEVICES = tuple(constants.DEVICE_OWNER_PREFIXES)
_RATES = (ovn_const.LSP_OPTIONS_QOS_MAX_RATE, ovn_const.LSP_OPTIONS_QOS_MIN_RATE)


def list_lost(
    connection: sa.Connection, nb: Database, networks: Collection[str] = ()
) -> list[dict[str, str]]:
    """List what OVN has otherwise than Neutron believes.

    Args:
        connection: of a transaction that only reads, begun before NB is looked at.
        nb: the northbound database.
        networks: whose ports, and the routers on which, are looked at; stretched ones if empty.

    Returns:
        Each in the form of `isthmus.federation.lost_rules.Lost`.
    """
    on = _PORTS.c.network_id.in_(networks or datapath.select_networks())
    found = [
        *_list_routers(connection, nb, on),
        *_list_router_ports(connection, nb, on),
        *_list_routes(connection, nb, on),
        *_list_subports(connection, nb, on),
        *_list_unlimited(connection, nb, on),
    ]
    return [one.to_dict() for one in found]


def _routers_on(on: Any) -> sa.Select[Any]:
    """Select the ids of the routers that join or leave by some networks."""
    query = sa.select(_JOINS.c.router_id).join_from(_JOINS, _PORTS, _PORTS.c.id == _JOINS.c.port_id)
    return query.where(on, _JOINS.c.port_type.in_(_OWNERS))


def _find_router(nb: Database, router_id: str) -> Any:
    return nb.find("Logical_Router", ovn_utils.ovn_name(router_id))


def _list_routers(connection: sa.Connection, nb: Database, on: Any) -> Iterator[Lost]:
    query = sa.select(_ROUTERS.c.id, _ROUTERS.c.admin_state_up).where(
        _ROUTERS.c.id.in_(_routers_on(on)), is_written(_ROUTERS, ovn_const.TYPE_ROUTERS)
    )
    for one in connection.execute(query.order_by(_ROUTERS.c.id)):
        row = _find_router(nb, one.id)
        if row is None:
            yield Lost(
                code="router.no_logical_router",
                kind="router",
                id=one.id,
                what="router without a logical router",
                evidence="Neutron has it, OVN does not",
            )
            continue
        with nb.lock:
            enabled = list(row.enabled) != [False]
        if enabled != bool(one.admin_state_up):
            yield Lost(
                code="router.logical_router",
                kind="router",
                id=one.id,
                what="router that is otherwise in OVN",
                evidence=f"enabled: Neutron {bool(one.admin_state_up)}, OVN {enabled}",
            )


def _list_router_ports(connection: sa.Connection, nb: Database, on: Any) -> Iterator[Lost]:
    query = (
        sa.select(
            _PORTS.c.id,
            _PORTS.c.mac_address,
            _JOINS.c.router_id,
            _ALLOCATIONS.c.ip_address,
            _SUBNETS.c.cidr,
        )
        .join_from(_JOINS, _PORTS, _PORTS.c.id == _JOINS.c.port_id)
        .join(_ALLOCATIONS, _ALLOCATIONS.c.port_id == _PORTS.c.id)
        .join(_SUBNETS, _SUBNETS.c.id == _ALLOCATIONS.c.subnet_id)
        .where(on, _JOINS.c.port_type.in_(_OWNERS))
        .where(is_written(_PORTS, ovn_const.TYPE_ROUTER_PORTS))
        .order_by(_PORTS.c.id, _ALLOCATIONS.c.ip_address)
    )
    wanted: dict[tuple[str, str, str], set[str]] = {}
    for one in connection.execute(query):
        length = one.cidr.rpartition("/")[2]
        key = (one.id, one.router_id, one.mac_address)
        wanted.setdefault(key, set()).add(f"{one.ip_address}/{length}")
    for (port_id, router_id, mac), addresses in wanted.items():
        row = nb.find("Logical_Router_Port", ovn_utils.ovn_lrouter_port_name(port_id))
        with nb.lock:
            there = None if row is None else (str(row.mac), set(row.networks))
        if there == (mac, addresses):
            continue
        said = "nothing" if there is None else f"{there[0]} {', '.join(sorted(there[1]))}"
        yield Lost(
            code="router.router_port",
            kind="router",
            id=router_id,
            what="router with an interface that is otherwise in OVN",
            evidence=f"port {port_id}: Neutron {mac} {', '.join(sorted(addresses))}, OVN {said}",
        )


def _list_routes(connection: sa.Connection, nb: Database, on: Any) -> Iterator[Lost]:
    query = (
        sa.select(_ROUTES.c.router_id, _ROUTES.c.destination, _ROUTES.c.nexthop)
        .join_from(_ROUTES, _ROUTERS, _ROUTERS.c.id == _ROUTES.c.router_id)
        .where(_ROUTERS.c.id.in_(_routers_on(on)), is_written(_ROUTERS, ovn_const.TYPE_ROUTERS))
        .order_by(_ROUTES.c.router_id, _ROUTES.c.destination, _ROUTES.c.nexthop)
    )
    for one in connection.execute(query):
        row = _find_router(nb, one.router_id)
        if row is None:
            continue
        with nb.lock:
            there = {(str(route.ip_prefix), str(route.nexthop)) for route in row.static_routes}
        if (one.destination, one.nexthop) not in there:
            yield Lost(
                code="router.no_route",
                kind="router",
                id=one.router_id,
                what="router with an extra route that OVN lacks",
                evidence=f"{one.destination} by {one.nexthop}",
            )


def _list_subports(connection: sa.Connection, nb: Database, on: Any) -> Iterator[Lost]:
    query = (
        sa.select(
            _SUBPORTS.c.trunk_id,
            _SUBPORTS.c.port_id,
            _SUBPORTS.c.segmentation_id,
            _TRUNKS.c.port_id.label("parent_id"),
        )
        .join_from(_SUBPORTS, _TRUNKS, _TRUNKS.c.id == _SUBPORTS.c.trunk_id)
        .join(_PORTS, _PORTS.c.id == _SUBPORTS.c.port_id)
        .where(on, is_written(_PORTS, ovn_const.TYPE_PORTS))
        .order_by(_SUBPORTS.c.trunk_id, _SUBPORTS.c.segmentation_id)
    )
    for one in connection.execute(query):
        row = nb.find("Logical_Switch_Port", one.port_id)
        if row is None:  # `port.no_switch_port`
            continue
        with nb.lock:
            parent, tag = next(iter(row.parent_name), ""), next(iter(row.tag), None)
        if (parent, tag) != (one.parent_id, one.segmentation_id):
            yield Lost(
                code="trunk.subport",
                kind="trunk",
                id=one.trunk_id,
                what="trunk with a subport that is otherwise in OVN",
                evidence=f"port {one.port_id}: Neutron has it on {one.parent_id} with VLAN "
                f"{one.segmentation_id}, OVN on {parent or 'nothing'} with {tag}",
            )


def _list_unlimited(connection: sa.Connection, nb: Database, on: Any) -> Iterator[Lost]:
    """List the ports that a QoS policy limits, and OVN does not."""
    policy = sa.func.coalesce(_OF_PORT.c.policy_id, _OF_NETWORK.c.policy_id)
    query = (
        sa.select(_PORTS.c.id, _PORTS.c.network_id, policy.label("policy_id"))
        .outerjoin_from(_PORTS, _OF_PORT, _OF_PORT.c.port_id == _PORTS.c.id)
        .outerjoin(_OF_NETWORK, _OF_NETWORK.c.network_id == _PORTS.c.network_id)
        .where(on, sa.or_(*(policy.in_(sa.select(rules.c.qos_policy_id)) for rules in _LIMITS)))
        .where(is_written(_PORTS, ovn_const.TYPE_PORTS))
        .where(*(sa.not_(_PORTS.c.device_owner.startswith(one)) for one in _DEVICES))
        .order_by(_PORTS.c.id)
    )
    for one in connection.execute(query):
        port = nb.find("Logical_Switch_Port", one.id)
        switch = nb.find("Logical_Switch", ovn_utils.ovn_name(one.network_id))
        if port is None or switch is None:
            continue
        with nb.lock:
            limited = any(name in port.options for name in _RATES) or any(
                row.external_ids.get(ovn_const.OVN_PORT_EXT_ID_KEY) == one.id
                for row in switch.qos_rules
            )
        if not limited:
            yield Lost(
                code="port.no_qos",
                kind="port",
                id=one.id,
                what="port that OVN does not limit",
                evidence=f"Neutron has QoS policy {one.policy_id} for it, OVN has no rule of it",
            )
