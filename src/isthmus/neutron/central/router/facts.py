"""What decides by which sites routers' traffic leaves, as central's database has it.

All routers that are asked for are read together: what they join, their gateways, floating IPs and
extra routes, where their networks and they themselves are, and what is known of the sites.
"""

import dataclasses
import ipaddress
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3, l3_attrs, port_forwarding

from isthmus.federation.exits.transit import DEFAULT_RANGES
from isthmus.model.exits.request import (
    ExternalNetwork,
    ExternalSubnet,
    ExtraRoute,
    FloatingIp,
    Forwarding,
    Gateway,
    InternalSubnet,
    Limit,
    Ports,
    Protocol,
    RouterFacts,
    SiteFacts,
    Transit,
)
from isthmus.model.resource import ResourceType
from isthmus.model.site import Reachability, Site, SiteName
from isthmus.neutron.central import zone
from isthmus.neutron.central.router import limits
from isthmus.neutron.db import gateways, interfaces
from isthmus.store.ports import gateway as gateway_store
from isthmus.store.ports import hypervisor
from isthmus.store.ports import transit as transit_store
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store

_PORTS = models_v2.Port.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__
_SUBNETS = models_v2.Subnet.__table__
_JOINS = l3.RouterPort.__table__
_ROUTERS = l3.Router.__table__
_FLOATING = l3.FloatingIP.__table__
_ROUTES = l3.RouterRoute.__table__
_FORWARDINGS = port_forwarding.PortForwarding.__table__

#: Where objects are: id, then site, then whether it is withdrawn there.
_Places = Mapping[str, Mapping[SiteName, bool]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of some routers."""

    routers: Mapping[str, RouterFacts]  #: those that exist
    networks: Mapping[str, ExternalNetwork]  #: the external ones of all of them
    sites: tuple[SiteFacts, ...]
    transits: Mapping[str, Transit]  #: by router
    served: Mapping[str, frozenset[SiteName]]  #: by router, the sites that serve its zones

    def list_networks(self, router_id: str) -> list[ExternalNetwork]:
        """List the external networks of a router, at the sites where the router may be."""
        router = self.routers[router_id]
        ids = {one.network_id for one in router.gateways}
        ids |= {one.network_id for one in router.answered}
        served = self.served[router_id]
        found = [self.networks[one] for one in sorted(ids)]
        return [dataclasses.replace(one, sites=one.sites & served) for one in found]


class Reader:
    """Reads facts; with `latest` by locking reads, because something is decided by them."""

    def __init__(self, connection: sa.Connection, *, latest: bool) -> None:
        """Read on a connection of the transaction."""
        self._connection = connection
        self._latest = latest

    def read(self, router_ids: Collection[str]) -> Facts:
        """Read what is known of routers.

        Args:
            router_ids: which; one that does not exist is left out.
        """
        ids = sorted(set(router_ids))
        rows = {row.id: row for row in self._select(_ROUTERS, _ROUTERS.c.id.in_(ids))}
        ports = self._list_ports(sorted(rows))
        addresses = self._list_addresses([port.id for port in ports])
        outside = {one.network_id for one in ports if one.port_type == gateways.OWNER}
        floating = self._list_floating(sorted(rows))
        forwardings = self._list_forwardings(sorted(rows))
        outside |= {one.floating_network_id for one in (*floating, *forwardings)}
        behind = {one.fixed_port_id for one in floating}
        behind |= {one.internal_neutron_port_id for one in forwardings}
        subnets = self._list_subnets(outside, addresses)
        inside = {one.network_id for one in ports if one.port_type == interfaces.OWNER}
        present = self._places(ResourceType.NETWORK, outside | inside)
        there = self._places(ResourceType.ROUTER, rows)
        sites = site_store.list_sites(self._connection)
        hints = read_hints(self._connection, rows)
        parts = _Parts(
            ports=ports,
            addresses=addresses,
            subnets=subnets,
            present=present,
            there=there,
            homes=self._places(ResourceType.PORT, behind),
            floating=floating,
            forwardings=forwardings,
            limits=limits.list_limits(
                self._rows,
                {one.id: one.floating_network_id for one in floating}
                | {one.floatingip_id: one.floating_network_id for one in forwardings},
            ),
            macs=self._list_macs([one.floating_port_id for one in floating]),
            routes=list(self._select(_ROUTES, _ROUTES.c.router_id.in_(sorted(rows)))),
        )
        return Facts(
            routers={one: parts.make_router(row) for one, row in rows.items()},
            networks={
                one: ExternalNetwork(
                    id=one,
                    sites=standing(present.get(one, {})),
                    subnets=frozenset(
                        ExternalSubnet(
                            cidr=ipaddress.ip_network(row.cidr),
                            gateway=ipaddress.ip_address(row.gateway_ip)
                            if row.gateway_ip
                            else None,
                        )
                        for row in subnets.values()
                        if row.network_id == one
                    ),
                )
                for one in sorted(outside)
            },
            sites=tuple(map(_to_facts, sites)),
            transits=self._list_transits(there),
            served={
                one: frozenset(site.name for site in sites if zone.serves(site, hints.get(one, ())))
                for one in rows
            },
        )

    def _select(self, table: sa.Table, *where: Any) -> Iterator[Any]:
        yield from self._rows(sa.select(table).where(*where))

    def _rows(self, query: "sa.Select[Any]") -> list[Any]:
        if self._latest:
            query = query.with_for_update(read=True)
        return list(self._connection.execute(query))

    def _list_ports(self, ids: list[str]) -> list[Any]:
        columns = (
            _JOINS.c.router_id,
            _JOINS.c.port_type,
            _PORTS.c.id,
            _PORTS.c.network_id,
        )
        query = sa.select(*columns).join_from(_JOINS, _PORTS, _JOINS.c.port_id == _PORTS.c.id)
        owners = (interfaces.OWNER, gateways.OWNER)
        return self._rows(query.where(_JOINS.c.router_id.in_(ids), _JOINS.c.port_type.in_(owners)))

    def _list_addresses(self, port_ids: list[str]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for row in self._select(_ALLOCATIONS, _ALLOCATIONS.c.port_id.in_(sorted(port_ids))):
            found.setdefault(row.port_id, []).append(row)
        return found

    def _list_subnets(
        self, external: Collection[str], addresses: Mapping[str, list[Any]]
    ) -> dict[str, Any]:
        ids = {one.subnet_id for some in addresses.values() for one in some}
        columns = (
            _SUBNETS.c.id,
            _SUBNETS.c.network_id,
            _SUBNETS.c.cidr,
            _SUBNETS.c.gateway_ip,
        )
        query = sa.select(*columns).where(
            sa.or_(_SUBNETS.c.id.in_(sorted(ids)), _SUBNETS.c.network_id.in_(sorted(external)))
        )
        return {row.id: row for row in self._rows(query)}

    def _list_floating(self, ids: list[str]) -> list[Any]:
        return list(
            self._select(
                _FLOATING, _FLOATING.c.router_id.in_(ids), _FLOATING.c.fixed_port_id.is_not(None)
            )
        )

    def _list_forwardings(self, ids: list[str]) -> list[Any]:
        """List the port forwardings of routers, with what their floating IPs say of them."""
        query = (
            sa.select(
                _FORWARDINGS,
                _FLOATING.c.router_id,
                _FLOATING.c.floating_network_id,
                _FLOATING.c.floating_ip_address,
            )
            .join_from(_FORWARDINGS, _FLOATING, _FORWARDINGS.c.floatingip_id == _FLOATING.c.id)
            .where(
                _FLOATING.c.router_id.in_(ids),
                _FORWARDINGS.c.protocol.in_([one.value for one in Protocol]),
            )
        )
        return self._rows(query)

    def _list_macs(self, port_ids: list[str]) -> dict[str, str]:
        query = sa.select(_PORTS.c.id, _PORTS.c.mac_address)
        rows = self._rows(query.where(_PORTS.c.id.in_(sorted(port_ids))))
        return {row.id: row.mac_address for row in rows}

    def _places(self, kind: ResourceType, ids: Collection[str]) -> _Places:
        read = mapping.list_sites if self._latest else mapping.peek_sites
        return read(self._connection, kind, ids)

    def _list_transits(self, there: _Places) -> dict[str, Transit]:
        keys = transit_store.list_keys(self._connection, there.keys(), latest=self._latest)
        known = hypervisor.list_any(self._connection) if keys else {}
        named = gateway_store.list_hypervisors(self._connection, keys.keys())
        return {
            one: Transit(
                ranges=DEFAULT_RANGES,
                datapath_key=found.datapath_key,
                port_keys={
                    site: key for site, key in found.port_keys.items() if site in there[one]
                },
                arrives_at={**known, **named.get(one, {})},
            )
            for one, found in keys.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What was read of all routers."""

    ports: list[Any]
    addresses: Mapping[str, list[Any]]
    subnets: Mapping[str, Any]
    present: _Places
    there: _Places
    homes: _Places
    floating: list[Any]
    forwardings: list[Any]
    limits: Mapping[str, tuple[Limit, ...]]  #: by floating IP
    macs: Mapping[str, str]
    routes: list[Any]

    def make_router(self, row: Any) -> RouterFacts:
        """Put together what is known of one router."""
        ports = [one for one in self.ports if one.router_id == row.id]
        here = standing(self.there.get(row.id, {}))
        return RouterFacts(
            id=row.id,
            subnets=frozenset(
                InternalSubnet(
                    id=one.subnet_id,
                    cidr=ipaddress.ip_network(self.subnets[one.subnet_id].cidr),
                    sites=standing(self.present.get(port.network_id, {})) & here,
                )
                for port in ports
                if port.port_type == interfaces.OWNER
                for one in self.addresses.get(port.id, ())
                if one.subnet_id in self.subnets  # else it was deleted while we read
            ),
            gateways=frozenset(
                make_gateway(row, port, self.addresses.get(port.id, ()))
                for port in ports
                if port.port_type == gateways.OWNER
            ),
            floating_ips=frozenset(
                FloatingIp(
                    id=one.id,
                    address=ipaddress.IPv4Address(one.floating_ip_address),
                    network_id=one.floating_network_id,
                    fixed_address=ipaddress.IPv4Address(one.fixed_ip_address),
                    port_id=one.fixed_port_id,
                    home=next(iter(self.homes.get(one.fixed_port_id, {})), None),
                    mac=self.macs.get(one.floating_port_id),
                )
                for one in self.floating
                if one.router_id == row.id
            ),
            forwardings=frozenset(
                self._make_forwarding(one) for one in self.forwardings if one.router_id == row.id
            ),
            limits=frozenset(
                (one, self.limits[one])
                for one in (
                    *(one.id for one in self.floating if one.router_id == row.id),
                    *(one.floatingip_id for one in self.forwardings if one.router_id == row.id),
                )
                if one in self.limits
            ),
            extra_routes=frozenset(
                ExtraRoute(
                    destination=ipaddress.ip_network(one.destination, strict=False),
                    next_hop=ipaddress.ip_address(one.nexthop),
                )
                for one in self.routes
                if one.router_id == row.id
            ),
        )

    def _make_forwarding(self, one: Any) -> Forwarding:
        return Forwarding(
            id=one.id,
            floating_ip_id=one.floatingip_id,
            address=ipaddress.IPv4Address(one.floating_ip_address),
            network_id=one.floating_network_id,
            fixed_address=ipaddress.IPv4Address(one.internal_ip_address),
            port_id=one.internal_neutron_port_id,
            home=next(iter(self.homes.get(one.internal_neutron_port_id, {})), None),
            protocol=Protocol(one.protocol),
            outside=Ports(one.external_port_start, one.external_port_end),
            inside=Ports(one.internal_port_start, one.internal_port_end),
        )


def make_gateway(router: Any, port: Any, addresses: Collection[Any]) -> Gateway:
    """Return a gateway.

    Args:
        router: the row of its router.
        port: `id` and `network_id` of its port.
        addresses: the rows of that port's addresses.
    """
    return Gateway(
        network_id=port.network_id,
        addresses=frozenset(ipaddress.ip_address(one.ip_address) for one in addresses),
        enable_snat=bool(router.enable_snat),
        is_default=router.gw_port_id == port.id,
        port_id=port.id,
    )


def read_hints(connection: sa.Connection, router_ids: Collection[str]) -> dict[str, list[str]]:
    """List the availability zone hints of routers, by router."""
    if not router_ids:
        return {}
    extra = l3_attrs.RouterExtraAttributes.__table__
    query = sa.select(extra.c.router_id, extra.c.availability_zone_hints)
    rows = connection.execute(query.where(extra.c.router_id.in_(sorted(router_ids))))
    return {row.router_id: parse_hints(row.availability_zone_hints) for row in rows}


def parse_hints(text: str | None) -> list[str]:
    """Parse hints as Neutron's tables keep them."""
    found: list[str] = json.loads(text) if text else []
    return found


def _to_facts(site: Site) -> SiteFacts:
    """Return what counts of a site; one that central has never tried counts as heard."""
    return SiteFacts(
        name=site.name,
        state=site.state,
        is_reachable=site.reachability is not Reachability.UNREACHABLE,
    )


def standing(sites: Mapping[SiteName, bool]) -> frozenset[SiteName]:
    """Return the sites from which an object is not withdrawn."""
    return frozenset(site for site, withdrawn in sites.items() if not withdrawn)
