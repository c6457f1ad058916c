"""Grants: a site asks for more numbers of a pool, or gives some back."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus import errors
from isthmus.model.intent import ResourceType
from isthmus.model.lease import Lease, PoolKind
from isthmus.model.site import Site
from isthmus.neutron.central import pool
from isthmus.neutron.db.session import writing
from isthmus.store import lease as lease_store
from isthmus.store import routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a site wants of a pool."""

    kind: PoolKind
    pool_id: str
    count: int = 0
    address: str | None = None
    returns: tuple[tuple[str, int | None], ...] = ()  #: lease id, last number kept


def parse_wish(body: dict[str, Any]) -> Wish:
    """Read the body of a grant.

    Raises:
        Invalid: `give_back` is not well formed.
    """
    returns: list[tuple[str, int | None]] = []
    for one in body["give_back"] or []:
        try:
            if isinstance(one, str):
                returns.append((one, None))
            else:
                returns.append((str(one["id"]), int(one["last"])))
        except (KeyError, TypeError, ValueError) as error:
            raise errors.Invalid(f"give_back names no lease: {one!r}") from error
    return Wish(
        kind=PoolKind(body["kind"]),
        pool_id=body["pool_id"],
        count=int(body["count"]),
        address=body["address"],
        returns=tuple(returns),
    )


def make_grant(context: Any, site: Site, wish: Wish) -> list[Lease]:
    """Grant a wish and give every block of the pool that the site then holds.

    Raises:
        NotFound: the pool is not at this site.
        Exhausted: no number is left.
        Conflict: the address belongs to somebody else.
        Invalid: the address is none.
    """
    with writing(context) as connection:
        locked = pool.hold(connection, wish.kind, wish.pool_id)
        _check_presence(connection, site, wish)
        if wish.returns:
            pool.take_back(pool.read(locked), site.name, wish.returns)
        if wish.address is not None:
            pool.lease_address(locked, site.name, _parse_address(wish))
        if wish.count > 0:
            pool.lease_more(pool.read(locked), site.name, wish.count)
        return pool.read(locked).held_by(site.name)


def to_wire(leases: Iterable[Lease]) -> list[dict[str, str]]:
    """Give the states of leases."""
    return [lease_store.to_state(lease) for lease in leases]


def _check_presence(connection: sa.Connection, site: Site, wish: Wish) -> None:
    network_id: str | None = wish.pool_id
    if wish.kind is PoolKind.SUBNET:
        subnet = models_v2.Subnet
        network_id = connection.execute(  # it never changes
            sa.select(subnet.network_id).where(subnet.id == wish.pool_id)
        ).scalar()
    at = routing.list_sites(connection, ResourceType.NETWORK, [network_id or ""], latest=True)
    if at.get(network_id or "", {}).get(site.name, True):
        raise errors.NotFound(f"{wish.kind} {wish.pool_id} is not at site {site.name}")


def _parse_address(wish: Wish) -> int:
    try:
        if wish.kind is PoolKind.SUBNET:
            return int(ipaddress.ip_address(str(wish.address)))
        return int(str(wish.address))
    except ValueError as error:
        raise errors.Invalid(f"{wish.address!r} is not an address") from error
