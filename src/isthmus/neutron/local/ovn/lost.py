"""What OVN lost of Neutron's rows besides ports and rules: address groups, translations of routers.

What Neutron notes of them does not show it, and nobody is told. `isthmus-ovn-db-sync-util` writes
them again.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.common.ovn import utils as ovn_utils
from neutron.db import models_v2
from neutron.db.models import address_group, l3, securitygroup
from neutron.db.models import ovn as ovn_models
from neutron_lib import constants
from neutron_lib.db import standard_attr

from isthmus.dataplane.protocols import Database
from isthmus.federation.lost_rules import find_lost_addresses, find_untranslated
from isthmus.model.dataplane.ovn import EXITS_MARK
from isthmus.store.ports import datapath

_NOTES = ovn_models.OVNRevisionNumbers.__table__
_ATTRIBUTES = standard_attr.StandardAttribute.__table__
_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__
_BINDINGS = securitygroup.SecurityGroupPortBinding.__table__
_RULES = securitygroup.SecurityGroupRule.__table__
_GROUPS = address_group.AddressGroup.__table__
_MEMBERS = address_group.AddressAssociation.__table__
_ROUTERS = l3.Router.__table__


def list_lost_addresses(
    connection: sa.Connection, nb: Database, networks: Collection[str] = ()
) -> list[dict[str, Any]]:
    """List the address groups of which OVN has other addresses than Neutron believes.

    Args:
        connection: of a transaction that only reads, begun before NB is looked at.
        nb: the northbound database.
        networks: on whose ports the groups count; those of all stretched networks if empty.

    Returns:
        `id`, `missing` and `extra` of each.
    """
    on = _PORTS.c.network_id
    used = (
        sa.select(_RULES.c.remote_address_group_id)
        .join(_BINDINGS, _BINDINGS.c.security_group_id == _RULES.c.security_group_id)
        .join(_PORTS, _PORTS.c.id == _BINDINGS.c.port_id)
        .where(on.in_(networks) if networks else on.in_(datapath.select_networks()))
    )
    query = (
        sa.select(_GROUPS.c.id, _MEMBERS.c.address)
        .outerjoin_from(_GROUPS, _MEMBERS, _MEMBERS.c.address_group_id == _GROUPS.c.id)
        .where(_GROUPS.c.id.in_(used), is_written(_GROUPS, ovn_const.TYPE_ADDRESS_GROUPS))
    )
    wanted: dict[str, set[str]] = {}
    for group_id, address in connection.execute(query):
        wanted.setdefault(group_id, set()).update([address] if address else [])
    there = {group_id: _read_addresses(nb, group_id) for group_id in wanted}
    return list(find_lost_addresses(wanted, there))


def list_lost_snats(
    connection: sa.Connection, nb: Database, networks: Collection[str] = ()
) -> list[dict[str, Any]]:
    """List the subnets of routers that OVN does not translate, though Neutron has them translated.

    Args:
        connection: of a transaction that only reads, begun before NB is looked at.
        nb: the northbound database.
        networks: whose subnets are looked at; those of all if empty.

    Returns:
        `router_id`, `external` and `internal` of each.
    """
    gateways = (
        sa.select(_ROUTERS.c.id, _ALLOCATIONS.c.ip_address)
        .join(_ALLOCATIONS, _ALLOCATIONS.c.port_id == _ROUTERS.c.gw_port_id)
        .join(_SUBNETS, _SUBNETS.c.id == _ALLOCATIONS.c.subnet_id)
        .where(
            _ROUTERS.c.enable_snat.is_(sa.true()),
            _SUBNETS.c.ip_version == constants.IP_VERSION_4,
            is_written(_ROUTERS, ovn_const.TYPE_ROUTERS),
        )
    )
    external = {router_id: str(address) for router_id, address in connection.execute(gateways)}
    inside = (
        sa.select(_PORTS.c.device_id, _SUBNETS.c.cidr)
        .join_from(_PORTS, _ALLOCATIONS, _ALLOCATIONS.c.port_id == _PORTS.c.id)
        .join(_SUBNETS, _SUBNETS.c.id == _ALLOCATIONS.c.subnet_id)
        .where(
            _PORTS.c.device_owner == constants.DEVICE_OWNER_ROUTER_INTF,
            _PORTS.c.device_id.in_(sorted(external)),
            _SUBNETS.c.ip_version == constants.IP_VERSION_4,
            is_written(_PORTS, ovn_const.TYPE_ROUTER_PORTS),
        )
    )
    if networks:
        inside = inside.where(_PORTS.c.network_id.in_(networks))
    internal: dict[str, set[str]] = {}
    for router_id, cidr in connection.execute(inside):
        internal.setdefault(router_id, set()).add(str(cidr))
    wanted = {router_id: (external[router_id], cidrs) for router_id, cidrs in internal.items()}
    return list(find_untranslated(wanted, _read_snats(nb, wanted)))


def is_written(table: sa.Table, kind: str) -> sa.ColumnElement[bool]:
    """Return whether Neutron believes an object to be in OVN as it is."""
    return sa.exists().where(
        _NOTES.c.resource_uuid == table.c.id,
        _NOTES.c.resource_type == kind,
        _ATTRIBUTES.c.id == table.c.standard_attr_id,
        _NOTES.c.revision_number == _ATTRIBUTES.c.revision_number,
    )


def _read_addresses(nb: Database, group_id: str) -> set[str]:
    names = (ovn_utils.ovn_ag_addrset_name(group_id, f"ip{version}") for version in (4, 6))
    rows = (nb.find("Address_Set", name) for name in names)
    with nb.lock:
        return {str(one) for row in rows if row is not None for one in row.addresses}


def _read_snats(nb: Database, routers: Collection[str]) -> Mapping[str, set[tuple[str, str]]]:
    """Return Neutron's translations of each router, as external address and internal network."""
    return {router_id: set(_snats_of(nb, router_id)) for router_id in routers}


def _snats_of(nb: Database, router_id: str) -> Iterator[tuple[str, str]]:
    router = nb.find("Logical_Router", ovn_utils.ovn_name(router_id))
    if router is None:
        return
    with nb.lock:
        for nat in router.nat:
            if nat.type == "snat" and EXITS_MARK not in nat.external_ids:
                yield str(nat.external_ip), str(nat.logical_ip)
