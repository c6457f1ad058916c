"""Which subnets' addresses are given out one by one, and so are leased: one rule for both tiers.

It is Neutron's own: the others are those whose addresses follow from the MAC, by either of the
modes, that of the addresses or that of the advertisements.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.common import ipv6_utils
from neutron.db import models_v2

_SUBNET = models_v2.Subnet
#: What the rule looks at.
COLUMNS = (_SUBNET.id, _SUBNET.ip_version, _SUBNET.ipv6_address_mode, _SUBNET.ipv6_ra_mode)


def needs_leases(subnet: Any) -> bool:
    """Tell whether a subnet's addresses are given out one by one.

    Args:
        subnet: as the API shows it, or with what `COLUMNS` are.
    """
    return not ipv6_utils.is_auto_address_subnet(subnet)


def pick_leased(connection: sa.Connection, subnet_ids: Collection[str]) -> set[str]:
    """Pick the subnets that there are and whose addresses are given out one by one."""
    return _pick(connection, _SUBNET.id.in_(sorted(subnet_ids)))


def list_leased(connection: sa.Connection, network_id: str) -> set[str]:
    """List the subnets of a network whose addresses are given out one by one."""
    return _pick(connection, _SUBNET.network_id == network_id)


def _pick(connection: sa.Connection, where: "sa.ColumnElement[bool]") -> set[str]:
    rows = connection.execute(sa.select(*COLUMNS).where(where))
    return {row.id for row in rows if needs_leases(dict(row._mapping))}
