"""Numbers of a site: its first leases, and the form in which all of them are sent."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.federation.leases.lease import SizePolicy, choose_size
from isthmus.model import attribute
from isthmus.model.lease import PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.central.leases import pool
from isthmus.neutron.db.leased import needs_leases
from isthmus.store.leases import lease as lease_store
from isthmus.store.ports import datapath


def add_numbers(
    connection: sa.Connection, kind: PoolKind, states: Mapping[str, dict[str, Any]], site: SiteName
) -> None:
    """Add to networks or subnets the leases that a site has of them, and to networks their keys.

    Args:
        connection: of the transaction.
        kind: what is leased of them.
        states: the objects, by id.
        site: the holder of the leases; a datapath key is the same at every site.
    """
    for state in states.values():
        state[attribute.LEASES] = []
    for lease in lease_store.list_leases(connection, kind=kind, pool_ids=states, site=site):
        states[lease.pool_id][attribute.LEASES].append(lease_store.to_state(lease))
    if kind is PoolKind.PORT_KEY:
        keys = datapath.list_keys(connection, states)
        for network_id, state in states.items():
            state[attribute.DATAPATH_KEY] = keys.get(network_id)


def lacks_leases(kind: PoolKind, state: Mapping[str, Any]) -> bool:
    """Return whether a site is to have leases of a network or subnet and has none.

    Of an external network's addresses central gives out all, to gateways and floating IPs.
    """
    if state[attribute.LEASES]:
        return False
    return kind is PoolKind.PORT_KEY or (
        needs_leases(state) and not state.get("router:external", False)
    )


def ensure(connection: sa.Connection, kind: PoolKind, pool_id: str, site: SiteName) -> None:
    """Lease port keys of a network or addresses of a subnet to a site, if it has none of them.

    An exhausted subnet leases nothing, which does not prevent the presence: other subnets may have
    addresses, and the site gets the error when it asks.

    Args:
        connection: of the transaction.
        kind: what is leased.
        pool_id: id of the network or subnet.
        site: the site.

    Raises:
        Exhausted: no port key is left.
        NotFound: there is no such network or subnet.
    """
    locked = pool.lock(connection, kind, pool_id)
    if locked.leases_of(site):
        return
    config = read_central(cfg.CONF)
    first = config.first_lease if kind is PoolKind.SUBNET else config.key_lease
    policy = SizePolicy(first=first, largest=max(first, pool.LARGEST))
    try:
        pool.lease_more(locked, site, choose_size(locked.free, policy))
    except errors.Exhausted:
        if kind is PoolKind.PORT_KEY:
            raise
