"""What a site says of itself, in a hello or a registration: its form, and its limits."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.model import number
from isthmus.model.form import is_name
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.central.site_api.belief import naming
from isthmus.neutron.central.site_api.lease_request import parse_number
from isthmus.store.tiers.epoch import Behind

#: Limit of leases that a site may name, far more than any has.
MOST_LEASES = 100_000
#: Limit of ports, and of shadows. In JSON a port with one address takes about 62 bytes, a shadow
#: 153, a lease 176; the largest body is the operator's to set (`docs/howto/restore.md`).
MOST_PORTS = 100_000
#: Limit of their addresses: of ports and of shadows four each.
MOST_ADDRESSES = 4 * MOST_PORTS
#: Limit of central's objects: ports, shadows, and as many networks, subnets, groups and routers.
MOST_HOLDINGS = 3 * MOST_PORTS
#: Longest name of a site, in characters: that of its columns.
MOST_NAME = 64
#: Largest key of a port; 0 is none.
MOST_KEY = (1 << 15) - 1
#: Longest life of an epoch, in characters.
MOST_LIFE = 16
_MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a site reports of itself."""

    registration: str | None
    epoch: int
    life: str | None  #: of the epoch
    heard: int  #: the newest number of central's that it can prove
    proof: str
    leases: tuple[Lease, ...] | None  #: None in a hello
    datapaths: Mapping[str, int]  #: tunnel keys of its networks
    ports: tuple[str, ...] | None  #: those that it has; None where it does not know
    addresses: Mapping[tuple[str, int], str] | None  #: their addresses; None where not asked
    known: tuple[naming.KnownPort, ...]  #: ports of other sites, from its shadows; own: strays
    holdings: Mapping[ResourceType, tuple[str, ...]]  #: the objects of central's that it has
    behind: Behind  #: whether it was restored, and has yet to hear of other sites' ports


def parse(site: Site, body: Mapping[str, Any]) -> Hello:
    """Parse a registration.

    Raises:
        Invalid: it is malformed.
    """
    named = body["leases"]
    try:
        leases = None if named is None else tuple(_parse_lease(site.name, one) for one in named)
        ports = _parse_ports(body["ports"])
        said = Hello(
            registration=None if body["registration"] is None else str(body["registration"]),
            epoch=int(body["epoch"]),
            life=_parse_life(body["life"]) if body["life"] else None,
            heard=int(body["heard"]),
            proof=str(body["proof"] or ""),
            leases=leases,
            datapaths={str(one): int(key) for one, key in (body["datapaths"] or {}).items()},
            ports=ports,
            addresses=_parse_addresses(body["addresses"], ports or ()),
            known=tuple(_parse_known(one) for one in body["shadows"] or ()),
            holdings={
                ResourceType(kind): _parse_ports(ids) or ()
                for kind, ids in (body["holdings"] or {}).items()
            },
            behind=Behind(int(body["behind"] or 0)),
        )
    except _MALFORMED as error:
        raise errors.Invalid(f"site {site.name} registers with what is no registration") from error
    shown = sum(len(one.addresses) for one in said.known)
    if max(len(said.ports or ()), len(said.known)) > MOST_PORTS:
        raise errors.Invalid(f"site {site.name} names more than {MOST_PORTS} ports")
    if max(len(said.addresses or ()), shown) > MOST_ADDRESSES:
        raise errors.Invalid(f"site {site.name} names more than {MOST_ADDRESSES} addresses")
    if sum(map(len, said.holdings.values())) > MOST_HOLDINGS:
        raise errors.Invalid(f"site {site.name} names more than {MOST_HOLDINGS} objects")
    if not 0 < said.epoch < 1 << number.EPOCH_BITS or len(leases or ()) > MOST_LEASES:
        raise errors.Invalid(f"site {site.name} cannot be of epoch {said.epoch}")
    return said


def _parse_life(body: Any) -> str:
    """Parse the life of an epoch, which is kept as it is said, whatever the database's charset."""
    if not is_name(body, MOST_LIFE):
        raise ValueError("it is no epoch's life")
    return str(body)


def _parse_ports(body: Any) -> tuple[str, ...] | None:
    return None if body is None else tuple(str(uuid.UUID(one)) for one in body)


def _parse_addresses(body: Any, ports: Sequence[str]) -> Mapping[tuple[str, int], str] | None:
    """Parse the addresses of ports: by subnet, as (index of the port, number)."""
    if body is None:
        return None
    return {
        (str(uuid.UUID(subnet_id)), parse_number(text)): ports[int(index)]
        for subnet_id, found in body.items()
        for index, text in found
    }


def _parse_known(body: Any) -> naming.KnownPort:
    home_site, port_id, network_id, key, addresses = body
    if not is_name(home_site, MOST_NAME):
        raise ValueError("it is no site's name")
    if not 0 <= int(key) <= MOST_KEY:
        raise ValueError("it is no key of a port")
    return naming.KnownPort(
        home=SiteName(home_site),
        port_id=str(uuid.UUID(port_id)),
        network_id=str(uuid.UUID(network_id)),
        port_key=parse_number(key),
        addresses=tuple(parse_number(text) for text in addresses),
    )


def _parse_lease(site: SiteName, body: Mapping[str, Any]) -> Lease:
    return Lease(
        id=LeaseId(str(uuid.UUID(body["id"]))),
        kind=PoolKind(body["kind"]),
        pool_id=str(uuid.UUID(body["pool_id"])),
        site=site,
        block=Block(parse_number(body["first"]), parse_number(body["last"])),
        origin=LeaseId(str(uuid.UUID(body["origin"]))) if body.get("origin") else None,
    )
