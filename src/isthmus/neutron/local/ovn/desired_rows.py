"""What the data plane of this site should hold, read from its database."""

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import utils as ovn_utils
from neutron.db import models_v2
from neutron_lib import constants

from isthmus.dataplane import responder
from isthmus.dataplane.responder import RaSubnet
from isthmus.dataplane.shadow import render_chassis, render_port
from isthmus.model.dataplane.ovn import Desired, Scope
from isthmus.model.dataplane.shadow import Shadow
from isthmus.store.ports import port_key, shadow
from isthmus.store.sql.tables import DATAPATHS, PORT_KEYS

_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_NETWORKS = models_v2.Network.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__


def list_networks(connection: sa.Connection) -> dict[str, int]:
    """List the datapath keys of the networks stretched to this site."""
    query = sa.select(DATAPATHS.c.network_id, DATAPATHS.c.datapath_key)
    return {network_id: int(key) for network_id, key in connection.execute(query)}


def read_all(connection: sa.Connection, groups: frozenset[str]) -> Desired:
    """Read everything.

    Args:
        connection: to the site's database.
        groups: the port groups that exist.
    """
    networks = list_networks(connection)
    shadows = shadow.list_shadows(connection, network_ids=list(networks))
    keys = port_key.list_keys(connection)
    return Desired(
        switch_keys=networks,
        port_keys={port_id: key for port_id, (_, key) in keys.items()},
        ports=_render(shadows, groups),
        chassis=render_chassis(shadows),
        responders=responder.plan_responders(
            list_ra_subnets(connection, networks),
            lambda port_id: keys[port_id][1] if port_id in keys else None,
        ),
    )


def read_scope(connection: sa.Connection, scope: Scope, groups: frozenset[str]) -> Desired:
    """Read the part that a few changes touch.

    Args:
        connection: to the site's database.
        scope: what to read.
        groups: the port groups that exist.
    """
    networks = list_networks(connection)
    shadows = shadow.get_shadows(connection, scope.ports)
    names = None if scope.chassis is None else list(scope.chassis)
    return Desired(
        switch_keys={one: networks[one] for one in scope.networks if one in networks},
        ports=_render((one for one in shadows.values() if one.network_id in networks), groups),
        chassis=render_chassis(shadow.list_one_per_chassis(connection, names)),
        responders=responder.plan_responders(
            list_ra_subnets(connection, scope.responders & networks.keys()),
            lambda port_id: port_key.find_key(connection, port_id),
        ),
    )


def choose_scope(
    connection: sa.Connection,
    *,
    ports: Collection[str],
    networks: Collection[str],
    groups: Collection[str],
    chassis: Collection[str] | None,
) -> Scope:
    """Give the rows that have to be looked at when these ports (and so on) changed.

    Args:
        connection: to the site's database.
        ports: changed shadows, gone ones included.
        networks: networks whose responders may have changed.
        groups: names of port groups that shadows may have left.
        chassis: names of hypervisors that shadows may have left; None means all there are.
    """
    shadows = shadow.get_shadows(connection, ports).values()
    named = {group_name(group) for one in shadows for group in one.security_groups}
    standing = {one.chassis for one in shadows}
    return Scope(
        networks=frozenset({one.network_id for one in shadows} | set(networks)),
        ports=frozenset(ports),
        groups=frozenset(named | set(groups)),
        chassis=None if chassis is None else frozenset(standing | set(chassis)),
        responders=frozenset(networks),
    )


def list_ra_subnets(connection: sa.Connection, network_ids: Iterable[str]) -> list[RaSubnet]:
    """List the IPv6 subnets of networks whose addresses need router advertisements."""
    ids = list(network_ids)
    subnets = connection.execute(
        sa.select(
            _SUBNETS.c.id,
            _SUBNETS.c.network_id,
            _SUBNETS.c.cidr,
            _SUBNETS.c.ipv6_ra_mode,
            _NETWORKS.c.mtu,
        )
        .join_from(_SUBNETS, _NETWORKS, _SUBNETS.c.network_id == _NETWORKS.c.id)
        .where(
            _SUBNETS.c.network_id.in_(ids),
            _SUBNETS.c.ip_version == constants.IP_VERSION_6,
            _SUBNETS.c.ipv6_ra_mode.is_not(None),
        )
    ).all()
    routed = set(
        connection.execute(
            sa.select(_ALLOCATIONS.c.subnet_id)
            .join_from(_ALLOCATIONS, _PORTS, _ALLOCATIONS.c.port_id == _PORTS.c.id)
            .where(
                _ALLOCATIONS.c.network_id.in_(ids),
                _PORTS.c.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS),
            )
        ).scalars()
    )
    return [
        RaSubnet(
            network_id=row.network_id,
            cidr=row.cidr,
            ra_mode=row.ipv6_ra_mode,
            mtu=row.mtu,
            routed=row.id in routed,
        )
        for row in subnets
    ]


def list_keyless_ports(connection: sa.Connection) -> list[tuple[str, str]]:
    """List (network, port) of this site's ports on stretched networks that have no key yet."""
    held = sa.select(sa.literal(1)).where(
        PORT_KEYS.c.port_id == _PORTS.c.id, PORT_KEYS.c.freed_at.is_(None)
    )
    query = (
        sa.select(_PORTS.c.network_id, _PORTS.c.id)
        .join_from(_PORTS, DATAPATHS, DATAPATHS.c.network_id == _PORTS.c.network_id)
        .where(
            _PORTS.c.device_owner != constants.DEVICE_OWNER_FLOATINGIP,
            ~sa.exists(held.correlate(_PORTS)),
        )
    )
    return [(network_id, port_id) for network_id, port_id in connection.execute(query)]


def group_name(security_group_id: str) -> str:
    """Give the name that Neutron gives a security group's port group."""
    return str(ovn_utils.ovn_port_group_name(security_group_id))


def group_id(name: str) -> str:
    """Give the security group of a port group; for another group, something that is no id."""
    return name.removeprefix("pg_").replace("_", "-")


def _render(shadows: Iterable[Shadow], groups: frozenset[str]) -> dict[str, Any]:
    return {one.port_id: render_port(one, groups, group_name) for one in shadows}
