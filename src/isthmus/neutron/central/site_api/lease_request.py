"""Lease requests: a site asks for more numbers of a pool, or returns some."""

import ipaddress
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus import errors
from isthmus.federation.leases.lease import MOST_OF_A_RETURN, MOST_RETURNS
from isthmus.model.lease import Block, Lease, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site
from isthmus.neutron.central.leases import give_back, pool
from isthmus.neutron.central.leases.at_rest import AtRest, find_at_rest
from isthmus.neutron.db.session import writing
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import recall
from isthmus.store.leases.give_back import Part
from isthmus.store.tiers import mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """A site's request for numbers of a pool."""

    kind: PoolKind
    pool_id: str
    count: int = 0
    address: str | None = None
    returns: tuple[Part, ...] = ()
    answered: tuple[str, ...] = ()  #: ids of the recalls that this request answers
    resting: tuple[tuple[int, str], ...] = ()  #: numbers to reuse, with their former ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Central's answer to a lease request."""

    leases: list[Lease]  #: every block of the pool that the site then holds
    at_rest: AtRest = field(default_factory=AtRest)  #: of the numbers that the site wants to reuse


def parse_request(body: dict[str, Any]) -> LeaseRequest:
    """Parse the body of a lease request.

    Raises:
        Invalid: `give_back` is malformed.
    """
    listed = body["give_back"] or []
    if not isinstance(listed, list) or len(listed) > MOST_RETURNS:
        raise errors.Invalid(f"give_back must be a list of at most {MOST_RETURNS}")
    returns: list[Part] = []
    for one in listed:
        try:
            returns.append(Part(str(uuid.UUID(one["lease"])), _parse_run(one)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise errors.Invalid(
                f"give_back names no part of a lease (lease, first, last): {str(one)[:80]}"
            ) from error
    return LeaseRequest(
        kind=PoolKind(body["kind"]),
        pool_id=body["pool_id"],
        count=int(body["count"]),
        address=body["address"],
        returns=tuple(returns),
        resting=_parse_resting(body["resting"] or []),
        answered=_parse_ids(body["answered"] or [], "answered"),
    )


def _parse_ids(listed: Any, name: str) -> tuple[str, ...]:
    if not isinstance(listed, list) or len(listed) > MOST_RETURNS:
        raise errors.Invalid(f"{name} must be a list of at most {MOST_RETURNS}")
    try:
        return tuple(str(uuid.UUID(one)) for one in listed)
    except (AttributeError, TypeError, ValueError) as error:
        raise errors.Invalid(f"{name} must be a list of ids") from error


def _parse_resting(listed: Any) -> tuple[tuple[int, str], ...]:
    if not isinstance(listed, list) or len(listed) > MOST_RETURNS:
        raise errors.Invalid(f"resting must be a list of at most {MOST_RETURNS}")
    try:
        return tuple((parse_number(one["number"]), str(uuid.UUID(one["port"]))) for one in listed)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.Invalid("resting must be a list of numbers and ports") from error


def _parse_run(one: Any) -> Block:
    first, last = parse_number(one["first"]), parse_number(one["last"])
    if not first <= last < first + MOST_OF_A_RETURN:
        raise ValueError("it is empty, or too long for one part")
    return Block(first, last)


def parse_number(text: Any) -> int:
    """Parse a number of a pool.

    Raises:
        ValueError: it is not a number.
    """
    # JSON has infinity too, which Python cannot convert.
    number = -1 if isinstance(text, float) else int(text)
    if not 0 <= number < 2**128:
        raise ValueError("out of range")
    return number


def answer_request(context: Any, site: Site, request: LeaseRequest) -> Answer:
    """Answer a lease request.

    Raises:
        NotFound: the pool is not at this site.
        Exhausted: no number is left.
        Conflict: the address belongs to another holder, or the site holds many and uses few.
        Invalid: it is not an address.
    """
    with writing(context) as connection:
        locked = pool.lock_only(connection, request.kind, request.pool_id)
        _check_presence(connection, site, request)
        if request.returns:
            give_back.take_back(pool.read(locked), site.name, request.returns)
        if request.answered:
            recall.end(connection, site.name, request.answered)
        if request.address is not None:
            pool.lease_address(locked, site.name, _parse_address(request))
        leases = pool.read(locked)
        held = leases.leases_of(site.name)
        if request.count > 0:
            held += pool.lease_more(leases, site.name, request.count)
            held.sort(key=lambda lease: lease.block)
        return Answer(leases=held, at_rest=find_at_rest(locked, site.name, request.resting))


def to_dict(leases: Iterable[Lease]) -> list[dict[str, str]]:
    """Return leases in the form in which they are sent."""
    return [lease_store.to_state(lease) for lease in leases]


def _check_presence(connection: sa.Connection, site: Site, request: LeaseRequest) -> None:
    network_id: str | None = request.pool_id
    if request.kind is PoolKind.SUBNET:
        subnet = models_v2.Subnet
        network_id = connection.execute(  # it never changes
            sa.select(subnet.network_id).where(subnet.id == request.pool_id)
        ).scalar()
    at = mapping.list_sites(connection, ResourceType.NETWORK, [network_id or ""])
    if at.get(network_id or "", {}).get(site.name, True):
        raise errors.NotFound(f"{request.kind} {request.pool_id} is not at site {site.name}")


def _parse_address(request: LeaseRequest) -> int:
    try:
        if request.kind is PoolKind.SUBNET:
            return int(ipaddress.ip_address(str(request.address)))
        return parse_number(request.address)
    except ValueError as error:
        raise errors.Invalid(f"{request.address!r} is not an address") from error
