"""The columns of Neutron's own tables that our statements lock or join.

The store does not import Neutron, so it declares them itself; `tests/ports/test_neutron_tables.py`
compares them with Neutron's models. They are few on purpose: a statement of Neutron's that only
needs to know which ids are ours gets a subquery (`select_...`) instead (ADR 0054).
"""

from collections.abc import Mapping

import sqlalchemy as sa

from isthmus.model.resource import RESOURCES, ResourceType


def _owned(name: str, *more: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(one) for one in ("id", "project_id", *more)))


PORTS = _owned("ports", "network_id", "device_owner")
SUBNETS = _owned("subnets", "network_id")

#: Which ports are a router's, and as what.
ROUTER_PORTS = sa.table(
    "routerports", *(sa.column(one) for one in ("router_id", "port_id", "port_type"))
)
FLOATING_IPS = _owned("floatingips", "router_id", "fixed_port_id")
PORT_FORWARDINGS = sa.table(
    "portforwardings",
    *(sa.column(one) for one in ("id", "floatingip_id", "internal_neutron_port_id")),
)

#: Which ports are in a trunk beside its parent.
SUBPORTS = sa.table("subports", *(sa.column(one) for one in ("port_id", "trunk_id")))

#: The table of each type that is sent to sites, with its id and its project.
OBJECTS: Mapping[ResourceType, sa.TableClause] = {
    **{kind: _owned(row.table) for kind, row in RESOURCES.items()},
    ResourceType.PORT: PORTS,
    ResourceType.SUBNET: SUBNETS,
}
