"""What sites name of numbers when central was restored: recorded as they register.

No site is the first to be right. What one says of an address or a port key is written down as far
as it differs from central's own tables, and a lease that stands in the way of something waits; it
is decided (`contest`) once all sites that central waits for have registered.
"""

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2

from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.central.leases.pool import PORT_KEYS
from isthmus.neutron.db.leased import pick_leased
from isthmus.neutron.db.session import writing
from isthmus.store.leases import named
from isthmus.store.ports import location
from isthmus.store.tiers import mapping

_CHUNK = 500
_SUBNET = PoolKind.SUBNET
_Address = tuple[str, int]  # subnet, number


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPort:
    """A port of another site as a site knows it, or one of its own that its OVN alone knows."""

    home: SiteName
    port_id: str
    network_id: str
    port_key: int
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a site names of numbers."""

    ports: Collection[str]  #: those that it has
    addresses: Mapping[_Address, str]  #: what they have, on subnets whose addresses are leased
    known: Sequence[KnownPort]  #: of other sites; with itself as the home, strays of its OVN


def record(context: Any, site: Site, said: Named) -> None:
    """Record what a site names, as far as it is new to central and within the site's rights."""
    with writing(context) as connection:
        networks = _list_networks(connection, site.name)
        leased = pick_leased(connection, set().union(*networks.values()))
        cidrs = _read_cidrs(connection, leased)
        has = {at: one for at, one in said.addresses.items() if _is_in(cidrs.get(at[0]), at[1])}
        believed = _read_allocations(connection, said.ports)
        words = [
            _word(site.name, _SUBNET, *at, port_id, named.HAS, site.name)
            for at, port_id in has.items()
            if believed.get(at) != port_id
        ]
        # Whether the site speaks for it is known once all have registered (`named_port.Place`).
        words += [
            _word(site.name, _SUBNET, *at, port_id, named.LACKS, site.name)
            for at, port_id in believed.items()
            if at[0] in leased and has.get(at) != port_id
        ]
        there = _read_allocations(connection, {one.port_id for one in said.known})
        located = location.peek_locations(connection, [one.port_id for one in said.known])
        for one in said.known:
            if one.network_id not in networks:
                continue
            word = named.STRAY if one.home == site.name else named.KNOWS
            for at in _place(one, networks[one.network_id], cidrs):
                if there.get(at) != one.port_id:
                    words.append(_word(site.name, _SUBNET, *at, one.port_id, word, one.home))
            if one.port_key in PORT_KEYS and not _is_there(one, located.get(one.port_id)):
                key = (one.network_id, one.port_key)
                words.append(_word(site.name, PoolKind.PORT_KEY, *key, one.port_id, word, one.home))
        named.record(connection, site.name, words)


def _word(
    site: SiteName,
    kind: PoolKind,
    pool_id: str,
    number: int,
    port_id: str,
    word: str,
    home: SiteName,
) -> named.Word:
    return named.Word(site, kind, pool_id, number, port_id, word, home)


def _list_networks(connection: sa.Connection, site: SiteName) -> dict[str, set[str]]:
    """List the networks of a site, and the subnets of each; some have none.

    One that is to leave the site counts: central's backup may be from before it came back there.
    """
    here = mapping.select_ids(ResourceType.NETWORK, site)
    found: dict[str, set[str]] = {one: set() for one in connection.scalars(here)}
    columns = (models_v2.Subnet.network_id, models_v2.Subnet.id)
    query = sa.select(*columns).where(models_v2.Subnet.network_id.in_(here))
    for network_id, subnet_id in connection.execute(query):
        found.setdefault(network_id, set()).add(subnet_id)
    return found


def _is_there(port: KnownPort, at: location.Location | None) -> bool:
    """Return whether central knows a port of another site with its key, where it is."""
    return at is not None and (at.site, at.network_id, at.port_key) == (
        port.home,
        port.network_id,
        port.port_key,
    )


def _read_cidrs(connection: sa.Connection, subnets: Collection[str]) -> dict[str, Any]:
    columns = (models_v2.Subnet.id, models_v2.Subnet.cidr)
    found: dict[str, Any] = {}
    ids = sorted(subnets)
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(*columns).where(models_v2.Subnet.id.in_(ids[start : start + _CHUNK]))
        found |= {one: ipaddress.ip_network(cidr) for one, cidr in connection.execute(query)}
    return found


def _read_allocations(connection: sa.Connection, port_ids: Collection[str]) -> dict[_Address, str]:
    """Read which addresses these ports have at central."""
    address, ids = models_v2.IPAllocation, sorted(port_ids)
    found: dict[_Address, str] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(address.subnet_id, address.ip_address, address.port_id).where(
            address.port_id.in_(ids[start : start + _CHUNK])
        )
        for subnet_id, text, port_id in connection.execute(query):
            found[subnet_id, int(ipaddress.ip_address(text))] = port_id
    return found


def _place(port: KnownPort, subnets: Collection[str], cidrs: Mapping[str, Any]) -> list[_Address]:
    """Return the subnets in which the addresses of a port are."""
    return [
        (subnet_id, number)
        for number in port.addresses
        for subnet_id in subnets
        if _is_in(cidrs.get(subnet_id), number)
    ]


def _is_in(cidr: Any, number: int) -> bool:
    """Return whether an address is in a network; no address is in None."""
    if cidr is None:
        return False
    return int(cidr.network_address) <= number <= int(cidr.broadcast_address)
