"""Routers, subnets and floating IPs as central has them, looked up by what a packet has."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.diagnose.question import End, Service, family_of
from isthmus.diagnose.world import Row, Source, World
from isthmus.model.site import CENTRAL

GATEWAY = "network:router_gateway"
_INTERFACES = "network:router_interface"  #: and those of HA and DVR, which begin so
#: What a router row lacks is read here.
TABLES = ("router", "router_port", "joined_subnet", "joined_network", "floatingip", "router_exit")


@dataclass(frozen=True, slots=True)
class Fabric:
    """What central has of routers; a table that was not read is empty, and said to be."""

    world: World

    def _rows(self, table: str) -> Sequence[Row]:
        if not self.world.has_table(Source.CENTRAL, CENTRAL, table):
            return ()
        return self.world.rows(Source.CENTRAL, CENTRAL, table)

    def has(self, table: str) -> bool:
        """Tell whether a table of central was read."""
        return self.world.has_table(Source.CENTRAL, CENTRAL, table)

    def _find(self, table: str, **wanted: Any) -> Row | None:
        for row in self._rows(table):
            if all(row.get(key) == value for key, value in wanted.items()):
                return row
        return None

    def network(self, network_id: str) -> Row | None:
        """Find a network."""
        return self._find("joined_network", id=network_id) or self._find("network", id=network_id)

    def subnet(self, subnet_id: object) -> Row | None:
        """Find a subnet."""
        return self._find("joined_subnet", id=subnet_id) or self._find("subnet", id=subnet_id)

    def subnets(self, network_id: str) -> list[Row]:
        """List the subnets of a network."""
        found = {
            row["id"]: row
            for table in ("subnet", "joined_subnet")
            for row in self._rows(table)
            if row.get("network_id") == network_id
        }
        return [*found.values()]

    def subnet_of(self, network_id: str, address: str) -> Row | None:
        """Find the subnet of a network that an address lies in."""
        inside = (row for row in self.subnets(network_id) if holds(row.get("cidr"), address))
        return next(inside, None)

    def router(self, router_id: str) -> Row | None:
        """Find a router."""
        return self._find("router", id=router_id)

    def interfaces(self, router_id: str) -> list[Row]:
        """List the ports by which a router joins networks."""
        return [
            row for row in self._rows("router_port")
            if row.get("device_id") == router_id
            and str(row.get("device_owner")).startswith(_INTERFACES)
        ]  # fmt: skip

    def joins(self, network_id: str) -> list[Row]:
        """List the ports of routers on a network."""
        return [
            row for row in self._rows("router_port")
            if row.get("network_id") == network_id and row.get("device_owner") != GATEWAY
        ]  # fmt: skip

    def owner(self, network_id: str, address: str) -> Row | None:
        """Find the port that has an address of a network, of those that were read."""
        for table in ("router_port", "next_hop_port", "port"):
            for row in self._rows(table):
                if row.get("network_id") == network_id and address in addresses(row):
                    return row
        return None

    def connected(self, router_id: str) -> Iterator[tuple[Row, Row]]:
        """Yield the subnets that a router joins, each with the router's port."""
        for port in self.interfaces(router_id):
            for fixed in port.get("fixed_ips") or ():
                subnet = self.subnet(fixed.get("subnet_id"))
                if subnet is not None:
                    yield subnet, port

    def plans(self) -> Sequence[Row]:
        """List what central has decided of routers."""
        return self._rows("router_exit")

    def plan(self, router_id: str) -> Row | None:
        """Find what central has decided of a router's exits."""
        return self._find("router_exit", id=router_id)

    def plan_at(self, router_id: str, site: str) -> Row | None:
        """Find what central has decided of a router at a site."""
        plan = self.plan(router_id) or {}
        return next((one for one in plan.get("sites") or () if one.get("site") == site), None)

    def gateway_at(self, router_id: str, site: str) -> Row | None:
        """Find the gateway port that a router has at a site."""
        plan = self.plan(router_id) or {}
        return next((one for one in plan.get("gateways") or () if one.get("site") == site), None)

    def floating(self, floating_id: object) -> Row | None:
        """Find a floating IP by its id."""
        return self._find("floatingip", id=floating_id)

    def decided(self, floating: Row) -> Row | None:
        """Find what central has decided of a floating IP."""
        plan = self.plan(str(floating.get("router_id") or "")) or {}
        rows = plan.get("floating_ips") or ()
        return next((one for one in rows if one.get("id") == floating.get("id")), None)

    def floating_of(self, end: End) -> Row | None:
        """Find the floating IP of an end's address."""
        return next(
            (
                row for row in self._rows("floatingip")
                if row.get("port_id") == end.id and row.get("fixed_ip_address") == end.address
                and end.id
            ),
            None,
        )  # fmt: skip

    def forwardings(self, **wanted: Any) -> list[Row]:
        """List the port forwardings that were read."""
        return [
            row
            for plan in self._rows("router_exit")
            for row in plan.get("forwardings") or ()
            if all(row.get(key) == value for key, value in wanted.items())
        ]

    def forwarding(self, service: Service, **wanted: Any) -> Row | None:
        """Find the port forwarding that takes a service."""
        for row in self.forwardings(**wanted):
            if takes(row, service):
                return row
        return None

    def gateway_host(self, router_id: str, site: str) -> str:
        """Return the hypervisor that has a router's gateway at a site; empty where none is seen."""
        gateway = self.gateway_at(router_id, site) or {}
        name = f"cr-lrp-{gateway.get('id')}"
        if self.world.has_table(Source.SB, site, "router_binding"):
            bound = self.world.find(Source.SB, site, "router_binding", logical_port=name) or {}
            uuid = bound.get("chassis")
            uuid = next(iter(uuid), None) if isinstance(uuid, list | tuple) else uuid
            chassis = self.world.find(Source.SB, site, "Chassis", _uuid=uuid) if uuid else None
            return str((chassis or {}).get("hostname") or "")
        for one in (self.plan(router_id) or {}).get("sites") or ():
            for peer in (one.get("transit") or {}).get("peers") or ():
                if peer.get("site") == site and peer.get("hypervisor"):
                    return str(peer["hypervisor"]["hostname"])
        return ""


def addresses(port: Mapping[str, Any]) -> list[str]:
    """List the addresses of a port."""
    return [str(one["ip_address"]) for one in port.get("fixed_ips") or ()]


def holds(prefix: object, address: str) -> bool:
    """Tell whether a prefix holds an address."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(str(prefix), strict=False)
    except ValueError:
        return False


def length(prefix: object) -> int:
    """Return the length of a prefix."""
    return ipaddress.ip_network(str(prefix), strict=False).prefixlen


def takes(forwarding: Row, service: Service) -> bool:
    """Tell whether a port forwarding, as the Admin API writes it, takes a service."""
    if forwarding.get("protocol") != service.protocol or service.port is None:
        return False
    low, _, high = str(forwarding["ports"]).partition(":")
    return int(low) <= service.port <= int(high or low)


def inside_port(forwarding: Row, port: int) -> int:
    """Return the port of the server that a port of a forwarding leads to."""
    low, _, _ = str(forwarding["ports"]).partition(":")
    first, _, last = str(forwarding["fixed_ports"]).partition(":")
    return int(first) + (port - int(low) if last and last != first else 0)


def same_family(one: str, other: str) -> bool:
    """Tell whether two addresses are of one IP version."""
    return family_of(one) == family_of(other)
