"""What central forgets once a site knows that an object is gone.

Site mappings and leases outlive the object they speak of until then, because a site that is cut off
goes on using its copy.
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

#: What keeps something else at a site.
_IN_THE_WAY = frozenset(
    {
        ResourceType.PORT,
        ResourceType.SUBNET,
        ResourceType.NETWORK,
        ResourceType.SECURITY_GROUP,  # its rules refer to groups and address groups
    }
)


def forget(connection: sa.Connection, keys: Sequence[IntentKey]) -> None:
    """Drop what is kept of objects whose absence was acknowledged; in the settling transaction.

    What the site refused to remove since one of them was in the way is tried again.
    """
    for key in keys:
        if key.type is ResourceType.PORT:
            home.delete(connection, key.id, key.lane)
            refusal.delete(connection, key.lane, key.id)  # nothing of it is left to be taken
        elif key.type is not ResourceType.SHADOW:
            mapping.delete(connection, key.type, key.id, key.lane)
        if key.type is ResourceType.LEASE:  # it went before the site heard what was asked of it
            recall.delete(connection, key.lane, [key.id])
        if key.type is ResourceType.SUBNET:
            lease.delete_held(connection, PoolKind.SUBNET, key.id, key.lane)
        if key.type is ResourceType.NETWORK:
            lease.delete_held(connection, PoolKind.PORT_KEY, key.id, key.lane)
            _free_keys(connection, key.id)
    for lane in {key.lane for key in keys if key.type in _IN_THE_WAY}:
        job_store.retry_in_use(connection, lane)


def _free_keys(connection: sa.Connection, network_id: str) -> None:
    """Free what a network has while it is at a site, if it is at none.

    Whoever extends a network holds its row alone, sees that it has a key and adds the site mapping.
    So this waits for him, and reads what he has done.
    """
    network = Held(connection, ResourceType.NETWORK, [network_id], alone=True)
    if not network.sites(network_id):
        datapath.delete(connection, network_id)
        pool.delete(connection, PoolKind.PORT_KEY, network_id)
    if network_id not in network.owners:  # else it may be placed again before all have heard
        resting.delete_pool(connection, network_id)
