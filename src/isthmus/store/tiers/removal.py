"""What central deletes once a site knows that an object is gone.

Site mappings and leases outlive their object until then, because a site that is cut off continues
to use its copy.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.lease import PoolKind
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import refusal
from isthmus.store.leases import lease, pool, recall, resting
from isthmus.store.ports import datapath, home
from isthmus.store.tiers import mapping
from isthmus.store.tiers.held import Held

#: Types that other objects at a site depend on.
_IN_THE_WAY = frozenset(
    {
        ResourceType.PORT,
        ResourceType.ROUTER,  # its interfaces stand on subnets
        ResourceType.SUBNET,
        ResourceType.NETWORK,
        ResourceType.SECURITY_GROUP,  # its rules refer to groups and address groups
    }
)


def forget(connection: sa.Connection, keys: Sequence[IntentKey]) -> None:
    """Delete what is kept of objects whose deletion was acknowledged; in the settling transaction.

    What the site refused to remove because one of them was in use is retried.
    """
    for key in keys:
        if key.type is ResourceType.PORT:
            home.delete(connection, key.id, key.lane)
            refusal.delete(connection, key.lane, key.id)  # nothing of it is left to accept
        elif key.type is not ResourceType.SHADOW:
            mapping.delete(connection, key.type, key.id, key.lane)
        if key.type is ResourceType.LEASE:  # deleted before the recall was delivered
            recall.delete(connection, key.lane, [key.id])
        if key.type is ResourceType.SUBNET:
            lease.delete_held(connection, PoolKind.SUBNET, key.id, key.lane)
        if key.type is ResourceType.NETWORK:
            lease.delete_held(connection, PoolKind.PORT_KEY, key.id, key.lane)
            _free_keys(connection, key.id)
    for lane in {key.lane for key in keys if key.type in _IN_THE_WAY}:
        job_store.retry_in_use(connection, lane)


def _free_keys(connection: sa.Connection, network_id: str) -> None:
    """Free the keys of a network if it is at no site any more.

    A transaction that extends a network holds its row alone, sees that it has a key and adds the
    site mapping. So this waits for it, and reads its work.
    """
    network = Held(connection, ResourceType.NETWORK, [network_id], alone=True)
    if not network.sites(network_id):
        datapath.delete(connection, network_id)
        pool.delete(connection, PoolKind.PORT_KEY, network_id)
    if network_id not in network.owners:  # otherwise it may be extended again before all sites know
        resting.delete_pool(connection, network_id)
