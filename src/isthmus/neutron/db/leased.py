"""Which subnets' addresses are allocated one by one, and so are leased: one rule for both tiers.

It is Neutron's own: the others are those whose addresses follow from the MAC, by either of the two
modes, that of the addresses or that of the advertisements.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.common import ipv6_utils
from neutron.db import models_v2

_SUBNET = models_v2.Subnet
#: The columns that the rule reads.
COLUMNS = (_SUBNET.id, _SUBNET.ip_version, _SUBNET.ipv6_address_mode, _SUBNET.ipv6_ra_mode)


def needs_leases(subnet: Any) -> bool:
    """Return whether a subnet's addresses are allocated one by one.

    Args:
        subnet: as the API shows it, or with the values of `COLUMNS`.
    """
    return not ipv6_utils.is_auto_address_subnet(subnet)


def pick_leased(connection: sa.Connection, subnet_ids: Collection[str]) -> set[str]:
    """Return those of the subnets that exist and whose addresses are allocated one by one."""
    return _pick(connection, _SUBNET.id.in_(sorted(subnet_ids)))


def list_leased(connection: sa.Connection, network_id: str) -> set[str]:
    """List the subnets of a network whose addresses are allocated one by one."""
    return _pick(connection, _SUBNET.network_id == network_id)


def _pick(connection: sa.Connection, where: "sa.ColumnElement[bool]") -> set[str]:
    rows = connection.execute(sa.select(*COLUMNS).where(where))
    return {row.id for row in rows if needs_leases(dict(row._mapping))}
