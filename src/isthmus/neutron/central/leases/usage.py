"""Which addresses of a block are allocated in Neutron: looked up by key, one by one."""

import ipaddress

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.ipam.drivers.neutrondb_ipam import db_models as ipam_models

from isthmus import errors
from isthmus.model.lease import Block, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.ports import location
from isthmus.store.tiers import mapping
from isthmus.store.tiers.latest import Latest

_CHUNK = 500
#: Limit of numbers looked up for one block: many times the largest lease.
_MOST = 1 << 16


def find_used(connection: sa.Connection, kind: PoolKind, pool_id: str, block: Block) -> list[int]:
    """List the allocated addresses of a block as currently committed; none for port keys.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the subnet or network.
        block: the numbers to look up.

    Raises:
        Invalid: the block is far larger than any lease.
    """
    if block.size > _MOST:
        raise errors.Invalid(
            f"{block.size} numbers of {kind} {pool_id} are more than any lease has"
        )
    if kind is not PoolKind.SUBNET:
        return []
    return find_used_of(connection, pool_id, range(block.first, block.last + 1))


def count_of_site(connection: sa.Connection, kind: PoolKind, pool_id: str, site: SiteName) -> int:
    """Count the numbers of a pool that ports at home at a site have, as far as central knows.

    Args:
        connection: of the transaction.
        kind: type of the pool.
        pool_id: the subnet or network.
        site: the home.
    """
    if kind is PoolKind.PORT_KEY:
        return location.count_of_site(connection, pool_id, site)
    address = models_v2.IPAllocation
    query = (
        sa.select(sa.func.count())
        .select_from(address)
        .where(
            address.subnet_id == pool_id,
            address.port_id.in_(mapping.select_ids(ResourceType.PORT, site)),
        )
    )
    return int(connection.execute(query).scalar_one())


def find_used_of(
    connection: sa.Connection, subnet_id: str, numbers: "range | list[int]"
) -> list[int]:
    """List which of these addresses are allocated, as currently committed."""
    allocation, subnet = ipam_models.IpamAllocation, ipam_models.IpamSubnet
    ipam_id = connection.execute(  # it never changes
        sa.select(subnet.id).where(subnet.neutron_subnet_id == subnet_id)
    ).scalar()
    found: list[int] = []
    for start in range(0, len(numbers), _CHUNK):
        query = sa.select(allocation.ip_address).where(
            allocation.ipam_subnet_id == ipam_id,
            allocation.ip_address.in_(
                [str(ipaddress.ip_address(one)) for one in numbers[start : start + _CHUNK]]
            ),
        )
        found += Latest.read(
            connection,
            query,
            lambda row: int(ipaddress.ip_address(row.ip_address)),
            write=False,
        )
    return sorted(found)
