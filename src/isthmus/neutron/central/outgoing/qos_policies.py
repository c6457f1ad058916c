"""Which QoS policies go where ports and networks are that have them."""

from collections.abc import Collection, Iterable

import sqlalchemy as sa
from neutron.db.qos import models

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.outgoing.group_closure import map_missing


def find(
    connection: sa.Connection,
    *,
    network_ids: Collection[str] = (),
    port_ids: Collection[str] = (),
) -> frozenset[str]:
    """Return the policies of networks and of ports, as currently committed (locking reads)."""
    network, port = models.QosNetworkPolicyBinding, models.QosPortPolicyBinding
    found: set[str] = set()
    for model, column, ids in (
        (network, network.network_id, network_ids),
        (port, port.port_id, port_ids),
    ):
        if ids:
            query = sa.select(model.policy_id).where(column.in_(sorted(ids)))
            found |= set(connection.scalars(query.with_for_update(read=True)))
    return frozenset(found)


def map_to(
    connection: sa.Connection, policy_ids: Iterable[str], sites: Collection[SiteName]
) -> set[IntentKey]:
    """Map policies to sites.

    Returns:
        Keys of what a site did not have yet.
    """
    wanted = set(policy_ids)
    return map_missing(connection, ResourceType.QOS_POLICY, wanted, sites) if wanted else set()
