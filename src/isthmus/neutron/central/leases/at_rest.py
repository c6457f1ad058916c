"""What a site may do with numbers of its own that rest: use them again, wait, or give them up.

That every site has heard of a former port is not enough. A port that moves takes its address along:
it has the address still, at its new home, while its old home holds the block.
"""

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.leases import usage
from isthmus.neutron.central.leases.pool import Locked
from isthmus.store.leases import named, resting
from isthmus.store.ports import location
from isthmus.store.tiers import epoch, mapping

_CHUNK = 500
_ADDRESSES = models_v2.IPAllocation


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """Numbers at rest that a site must not use."""

    still: tuple[int, ...] = ()  #: not yet: ask again
    elsewhere: tuple[int, ...] = ()  #: a port has it that has its home not at this site: give it up


def find_at_rest(locked: Locked, site: SiteName, resting_of: Sequence[tuple[int, str]]) -> AtRest:
    """Return which of the numbers that rest at a site it must not use.

    Args:
        locked: the pool.
        site: the site that asks; it no longer has these numbers in use.
        resting_of: the numbers, and the ports that had them there.
    """
    if not resting_of:
        return AtRest()
    connection = locked.connection
    numbers = sorted({number for number, _ in resting_of})
    if not epoch.is_recovered(connection):  # what rests is not known for sure then
        return AtRest(still=tuple(numbers))
    unheard = resting.find_unacknowledged(connection, [port_id for _, port_id in resting_of])
    still = {number for number, port_id in resting_of if port_id in unheard}
    if locked.kind is PoolKind.PORT_KEY:
        still |= location.find_keys_in_use(connection, locked.id, numbers)
        return AtRest(still=tuple(sorted(still)))
    still |= named.find_all_kept(connection, locked.id, numbers)
    used = usage.find_used_of(connection, locked.id, numbers)
    elsewhere = find_elsewhere(connection, locked.id, site, used)
    still |= set(used) - elsewhere
    return AtRest(still=tuple(sorted(still - elsewhere)), elsewhere=tuple(sorted(elsewhere)))


def find_elsewhere(
    connection: sa.Connection, subnet_id: str, site: SiteName, numbers: Collection[int]
) -> set[int]:
    """Return which addresses ports have whose home is not, or no longer, a site.

    A plain read: a port may move meanwhile. An address that is taken for the site's own still rests
    there, and one that is not is kept for its port wherever that goes.

    Args:
        connection: of the transaction.
        subnet_id: the subnet.
        site: the site.
        numbers: addresses in use.
    """
    listed, found = sorted(numbers), set[int]()
    for start in range(0, len(listed), _CHUNK):
        texts = [str(ipaddress.ip_address(one)) for one in listed[start : start + _CHUNK]]
        query = _select_elsewhere(site).where(
            _ADDRESSES.subnet_id == subnet_id, _ADDRESSES.ip_address.in_(texts)
        )
        found |= {_number(row) for row in connection.execute(query)}
    return found


def list_elsewhere(
    connection: sa.Connection, site: SiteName, subnet_ids: Collection[str]
) -> list[tuple[str, int, str]]:
    """List (subnet, address, port) of ports whose home is not, or no longer, a site."""
    listed = sorted(subnet_ids)
    return [
        (row.subnet_id, _number(row), row.port_id)
        for start in range(0, len(listed), _CHUNK)
        for row in connection.execute(
            _select_elsewhere(site).where(_ADDRESSES.subnet_id.in_(listed[start : start + _CHUNK]))
        )
    ]


def _select_elsewhere(site: SiteName) -> "sa.Select[tuple[str, str, str]]":
    at_home = mapping.select_ids(ResourceType.PORT, site, withdrawn=False)
    return sa.select(_ADDRESSES.subnet_id, _ADDRESSES.ip_address, _ADDRESSES.port_id).where(
        _ADDRESSES.port_id.not_in(at_home)
    )


def _number(row: Any) -> int:
    return int(ipaddress.ip_address(row.ip_address))
