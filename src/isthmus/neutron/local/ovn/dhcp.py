"""DHCP options that OVN is to have, and lost: what Neutron notes of them does not show it.

A row of DHCP_Options is a subnet's, and each port refers to it; a row that goes takes the
references of all ports with it.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.db import models_v2
from neutron.db.extra_dhcp_opt import models as option_models
from neutron.plugins.ml2 import models as ml2_models

from isthmus.dataplane.protocols import Database
from isthmus.federation.dhcp import asks_dhcp, is_served, list_disabled
from isthmus.store.ports import datapath

_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__
_OPTIONS = option_models.ExtraDhcpOpt.__table__
_BINDINGS = ml2_models.PortBinding.__table__
#: What a subnet says of DHCP.
_SAYS = ("ip_version", "ipv6_address_mode", "enable_dhcp")


def read_answered(nb: Database) -> set[str]:
    """Return the subnets for which OVN has a row of DHCP options.

    The row may be empty: so it is where a subnet has no gateway and Neutron no metadata port.
    """
    return {
        row.external_ids["subnet_id"]
        for row in nb.rows("DHCP_Options")
        if "subnet_id" in row.external_ids and not row.external_ids.get("port_id")
    }


def list_without(connection: sa.Connection, answered: Collection[str]) -> set[str]:
    """List the subnets of stretched networks that have DHCP in Neutron, and no options in OVN.

    Args:
        connection: of the transaction.
        answered: the subnets for which OVN has DHCP options.
    """
    return _list_served(connection, datapath.select_networks()) - set(answered)


def read_asked(
    connection: sa.Connection, networks: Collection[str], answered: Collection[str]
) -> dict[str, set[int]]:
    """Return for which IP versions OVN's row of a port needs DHCP options, by port.

    Args:
        connection: of the transaction.
        networks: whose ports are read.
        answered: the subnets for which OVN has DHCP options: of others a port cannot have any.
    """
    served = _list_served(connection, networks) & set(answered)
    query = (
        sa.select(
            _PORTS.c.id, _PORTS.c.device_owner, _SUBNETS.c.id.label("subnet"), _SUBNETS.c.ip_version
        )
        .join_from(_PORTS, _ALLOCATIONS, _ALLOCATIONS.c.port_id == _PORTS.c.id)
        .join(_SUBNETS, _SUBNETS.c.id == _ALLOCATIONS.c.subnet_id)
        .where(_PORTS.c.network_id.in_(networks))
    )
    kinds = _read_vnic_types(connection, networks)
    asked: dict[str, set[int]] = {}
    for row in connection.execute(query):
        kind = kinds.get(row.id, "")
        if row.subnet in served and asks_dhcp(row.device_owner or "", kind):
            asked.setdefault(row.id, set()).add(row.ip_version)
    for port_id, versions in _read_disabled(connection, networks).items():
        asked[port_id] = asked.get(port_id, set()) - versions
    return asked


def _list_served(connection: sa.Connection, networks: Any) -> set[str]:
    columns = [_SUBNETS.c[name] for name in ("id", *_SAYS)]
    query = sa.select(*columns).where(_SUBNETS.c.network_id.in_(networks))
    return {
        row.id
        for row in connection.execute(query)
        if is_served({name: getattr(row, name) for name in _SAYS})
    }


def _read_vnic_types(connection: sa.Connection, networks: Collection[str]) -> dict[str, str]:
    query = (
        sa.select(_BINDINGS.c.port_id, _BINDINGS.c.vnic_type)
        .join(_PORTS, _PORTS.c.id == _BINDINGS.c.port_id)
        .where(_PORTS.c.network_id.in_(networks))
    )
    return {row.port_id: row.vnic_type for row in connection.execute(query)}


def _read_disabled(connection: sa.Connection, networks: Collection[str]) -> dict[str, set[int]]:
    query = (
        sa.select(_OPTIONS)
        .join(_PORTS, _PORTS.c.id == _OPTIONS.c.port_id)
        .where(
            _PORTS.c.network_id.in_(networks), _OPTIONS.c.opt_name == ovn_const.DHCP_DISABLED_OPT
        )
    )
    found: dict[str, set[int]] = {}
    for row in connection.execute(query).mappings():
        option = {name: row[name] for name in ("opt_name", "opt_value", "ip_version")}
        found.setdefault(row["port_id"], set()).update(list_disabled([option]))
    return found
