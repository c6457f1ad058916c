"""Numbers that a site sets aside when it registers: it may have forgotten whose they are."""

import ipaddress
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus.model.lease import Block, Lease, PoolKind, find_block
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.leases import at_rest
from isthmus.store.delivery import journal
from isthmus.store.leases import resting
from isthmus.store.ports import home

_PORT = ResourceType.PORT
#: Ids in one IN (...).
_CHUNK = 500


def list_aside(
    connection: sa.Connection,
    site: SiteName,
    held: Sequence[Lease],
    *,
    has: Collection[str] | None,
) -> list[dict[str, str]]:
    """List the numbers that a site must not allocate, in the form in which it is told.

    Args:
        connection: of the transaction.
        site: the site.
        held: its leases.
        has: the ports that it has, if it recovers; None if it does not, or did not say.
    """
    return [
        *_list_lacked(connection, site, has),
        *_list_resting(connection, held),
        *_list_moved(connection, site, held),
    ]


def _list_lacked(
    connection: sa.Connection, site: SiteName, has: Collection[str] | None
) -> list[dict[str, str]]:
    """List addresses of ports that a site lacks and is not about to be sent.

    Those that it refused, and of one that recovers, those whose job somebody has cancelled.
    """
    lacked = set(connection.scalars(journal.select_jobs(site, _PORT, parked=True)))
    if has is not None:
        due = connection.scalars(journal.select_jobs(site, _PORT, parked=False))
        lacked |= set(home.peek_at(connection, site)).difference(has, due)
    address = models_v2.IPAllocation
    query = sa.select(address.subnet_id, address.ip_address, address.port_id)
    every = sorted(lacked)
    return [
        _aside(PoolKind.SUBNET, row.subnet_id, int(ipaddress.ip_address(row.ip_address)), row[2])
        for start in range(0, len(every), _CHUNK)
        for row in connection.execute(
            query.where(address.port_id.in_(every[start : start + _CHUNK]))
        )
    ]


def _list_resting(connection: sa.Connection, held: Sequence[Lease]) -> list[dict[str, str]]:
    """List numbers that a site released and others may still believe to be its port's."""
    return [
        _aside(lease.kind, lease.pool_id, number, port_id)
        for lease, number, port_id in resting.peek_unacknowledged(connection, held)
    ]


def _list_moved(
    connection: sa.Connection, site: SiteName, held: Sequence[Lease]
) -> list[dict[str, str]]:
    """List addresses in a site's leases that ports have taken along to other homes."""
    blocks: dict[str, list[Block]] = {}
    for lease in held:
        if lease.kind is PoolKind.SUBNET:
            blocks.setdefault(lease.pool_id, []).append(lease.block)
    for found in blocks.values():
        found.sort()
    return [
        _aside(PoolKind.SUBNET, subnet_id, number, port_id)
        for subnet_id, number, port_id in at_rest.list_elsewhere(connection, site, blocks)
        if find_block(blocks[subnet_id], number) is not None
    ]


def _aside(kind: PoolKind, pool_id: str, number: int, port_id: str) -> dict[str, str]:
    return {"kind": kind.value, "pool_id": pool_id, "number": str(number), "port_id": port_id}
