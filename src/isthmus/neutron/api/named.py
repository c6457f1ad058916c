"""What the networks that an audit is narrowed to name: groups, QoS policies, trunks."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import securitygroup
from neutron.db.qos import models as qos
from neutron.services.trunk import models as trunk

_PORTS = models_v2.Port.__table__
_BINDINGS = securitygroup.SecurityGroupPortBinding.__table__
_RULES = securitygroup.SecurityGroupRule.__table__
_TRUNKS = trunk.Trunk.__table__
_SUBPORTS = trunk.SubPort.__table__
_OF_PORT = qos.QosPortPolicyBinding.__table__
_OF_NETWORK = qos.QosNetworkPolicyBinding.__table__


def list_named(connection: sa.Connection, networks: list[str]) -> set[str]:
    """List the ids of what networks and their ports name besides each other.

    Args:
        connection: of the tier's database.
        networks: their ids.

    Returns:
        Security groups of the ports, groups and address groups in rules of those, QoS policies, and
        trunks with a parent or a subport there.
    """
    return {one for query in _select(networks) for one in connection.scalars(query) if one}


def _select(networks: list[str]) -> Iterator[sa.Select[Any]]:
    ports = sa.select(_PORTS.c.id).where(_PORTS.c.network_id.in_(networks))
    of_ports = _BINDINGS.c.port_id.in_(ports)
    groups = sa.select(_BINDINGS.c.security_group_id).where(of_ports).distinct()
    yield groups
    for column in (_RULES.c.remote_group_id, _RULES.c.remote_address_group_id):
        yield sa.select(column).where(_RULES.c.security_group_id.in_(groups)).distinct()
    yield sa.select(_OF_PORT.c.policy_id).where(_OF_PORT.c.port_id.in_(ports)).distinct()
    yield sa.select(_OF_NETWORK.c.policy_id).where(_OF_NETWORK.c.network_id.in_(networks))
    yield sa.select(_TRUNKS.c.id).where(_TRUNKS.c.port_id.in_(ports))
    yield sa.select(_SUBPORTS.c.trunk_id).where(_SUBPORTS.c.port_id.in_(ports)).distinct()
