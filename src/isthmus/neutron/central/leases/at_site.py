"""Leases of a site: its first ones, and the form in which they are sent."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.model.lease import PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.central.leases import pool
from isthmus.neutron.db import leased
from isthmus.store.leases import lease as lease_store


def read_leases(
    connection: sa.Connection, kind: PoolKind, ids: Collection[str], site: SiteName
) -> dict[str, list[dict[str, str]]]:
    """List the leases that a site has of pools.

    Args:
        connection: of the transaction.
        kind: type of the pools.
        ids: ids of the subnets or networks.
        site: the holder.

    Returns:
        Pool id to leases as they are sent; a pool without leases is missing.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for lease in lease_store.list_leases(connection, kind=kind, pool_ids=ids, site=site):
        found.setdefault(lease.pool_id, []).append(lease_store.to_state(lease))
    return found


def ensure_keys(connection: sa.Connection, network_id: str, site: SiteName) -> None:
    """Lease port keys of a network to a site.

    Raises:
        Exhausted: none is left.
    """
    keys = pool.lock(connection, PoolKind.PORT_KEY, network_id)
    pool.ensure(keys, site, read_central(cfg.CONF))


def ensure_addresses(connection: sa.Connection, subnet: Any, site: SiteName) -> None:
    """Lease addresses of a subnet to a site, if they are allocated one by one.

    An exhausted subnet leases nothing, which does not prevent the presence: other subnets may have
    addresses, and the site gets the error when it asks.
    """
    if not leased.needs_leases(subnet):
        return
    locked = pool.lock(connection, PoolKind.SUBNET, subnet["id"])
    try:
        pool.ensure(locked, site, read_central(cfg.CONF))
    except errors.Exhausted:
        return
