"""Resolve what holds for each node: defaults of fleet and rack, and addresses out of pools.

An address that a node was given once stays with it (`known`, by MAC), so that a node added in the
middle of the file moves nobody.
"""

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from typing import TypeVar

from isthmus import errors
from isthmus.model.rack.build import Standing
from isthmus.model.rack.fleet import Bmc, Firmware, Fleet, Install, Network, Node, Rack, Site
from isthmus.model.rack.machine import Machine

T = TypeVar("T")

_PLAIN = Bmc()
_BMC_FIELDS = tuple(one.name for one in dataclasses.fields(Bmc))


def roles_of(fleet: Fleet, rack: Rack, node: Node) -> tuple[str, ...]:
    """Return a node's roles: its own, its rack's, or the fleet's."""
    return node.roles or _first(rack.defaults.roles, fleet.defaults.roles) or ()


def disks_of(fleet: Fleet, rack: Rack, node: Node) -> str | None:
    """Return the name of a node's disk layout; None where nobody says."""
    return _first(node.disks, rack.defaults.disks, fleet.defaults.disks)


def image_of(fleet: Fleet, rack: Rack, node: Node) -> str | None:
    """Return the name of a node's image; None where nobody says."""
    return _first(node.image, rack.defaults.image, fleet.defaults.image)


def install_of(fleet: Fleet, rack: Rack, node: Node) -> Install:
    """Return the install method of a node."""
    return _first(node.install, rack.defaults.install, fleet.defaults.install) or Install.IMAGE


def firmware_of(fleet: Fleet, rack: Rack, node: Node) -> Firmware:
    """Return the firmware type of a node."""
    return _first(node.firmware, rack.defaults.firmware, fleet.defaults.firmware) or Firmware.BIOS


def bmc_of(fleet: Fleet, rack: Rack, node: Node) -> Bmc | None:
    """Return a node's management controller, field by field; None where nobody says anything."""
    said = [one for one in (node.bmc, rack.defaults.bmc, fleet.defaults.bmc) if one is not None]
    if not said:
        return None
    return Bmc(
        **{
            name: next(
                (value for one in said if (value := getattr(one, name)) != getattr(_PLAIN, name)),
                getattr(_PLAIN, name),
            )
            for name in _BMC_FIELDS
        }
    )


def _first(*values: T | None) -> T | None:
    return next((one for one in values if one is not None), None)


def pool_bounds(network: Network) -> tuple[int, int]:
    """Return the first and last address of a network's pool, as numbers.

    Raises:
        Invalid: the pool or the network is no such thing.
    """
    try:
        cidr = ipaddress.ip_network(network.cidr)
        if not network.pool:
            return int(cidr.network_address) + 1, int(cidr.broadcast_address) - 1
        first, _, last = (part.strip() for part in network.pool.partition("-"))
        low, high = int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last))
    except ValueError as exc:
        raise errors.Invalid(
            f"the pool {network.pool!r} of {network.name} is not of the form FIRST-LAST: {exc}"
        ) from exc
    if high < low:
        raise errors.Invalid(f"the pool {network.pool!r} of {network.name} ends before it begins")
    return low, high


def taken_addresses(fleet: Fleet, site: Site, network: Network) -> set[str]:
    """Collect the addresses of a network that are not to be given out."""
    taken = {fleet.builder.address, network.gateway or ""}
    if site.ha and site.ha.vip:
        taken.add(site.ha.vip)
    for rack in site.racks:
        for node in rack.nodes:
            taken.add(node.addresses.get(network.name, ""))
    return taken - {""}


def free_addresses(network: Network, taken: set[str]) -> Iterator[str]:
    """Return the free addresses of a network's pool, ascending."""
    low, high = pool_bounds(network)
    for number in range(low, high + 1):
        address = str(ipaddress.ip_address(number))
        if address not in taken:
            yield address


def count_free(network: Network, taken: set[str]) -> int:
    """Count the free addresses of a network's pool, without listing a large one.

    Raises:
        Invalid: the pool is none.
    """
    low, high = pool_bounds(network)
    inside = 0
    for text in taken:
        try:
            inside += low <= int(ipaddress.ip_address(text)) <= high
        except ValueError:
            continue
    return high - low + 1 - inside


def resolve_fleet(fleet: Fleet, known: Mapping[str, str] | None = None) -> tuple[Machine, ...]:
    """Return every machine of a sound fleet, in the file's order.

    Args:
        fleet: one that `rules` found nothing wrong with.
        known: MAC -> address on the provisioning network that was given before.

    Raises:
        Exhausted: a pool is too small.
    """
    return tuple(
        machine for site in fleet.sites for machine in _resolve_site(fleet, site, known or {})
    )


def _resolve_site(fleet: Fleet, site: Site, known: Mapping[str, str]) -> Iterator[Machine]:
    network = next(one for one in site.networks if one.name == site.provisioning)
    cidr = ipaddress.ip_network(network.cidr)
    taken = taken_addresses(fleet, site, network)
    kept: dict[str, str] = {}
    for rack in site.racks:
        for node in rack.nodes:
            before = known.get(node.mac.lower())
            if before and before not in taken and ipaddress.ip_address(before) in cidr:
                kept[node.mac.lower()] = before
                taken.add(before)
    free = free_addresses(network, taken)
    for rack in site.racks:
        for node in rack.nodes:
            mac = node.mac.lower()
            address = node.addresses.get(network.name) or kept.get(mac) or next(free, None)
            if address is None:
                raise errors.Exhausted(f"the pool of {network.name} in {site.name} is too small")
            yield _machine(fleet, site, rack, node, network, address)


def _machine(
    fleet: Fleet, site: Site, rack: Rack, node: Node, network: Network, address: str
) -> Machine:
    images = {one.name: one for one in fleet.images}
    layouts = {one.name: one for one in fleet.disks}
    roles = roles_of(fleet, rack, node)
    bmc = bmc_of(fleet, rack, node)
    assert bmc is not None
    return Machine(
        name=node.name,
        site=site.name,
        rack=rack.name,
        mac=node.mac.lower(),
        address=address,
        network=network,
        addresses=tuple(node.addresses.items()),
        roles=roles,
        bmc=bmc,
        disks=layouts[disks_of(fleet, rack, node) or ""],
        image=images[image_of(fleet, rack, node) or ""],
        install=install_of(fleet, rack, node),
        firmware=firmware_of(fleet, rack, node),
        is_controller=site.ha is not None and site.ha.role in roles,
    )


def resolve_machines(fleet: Fleet, standings: Mapping[str, Standing]) -> tuple[Machine, ...]:
    """Resolve every machine; addresses that were given before stay."""
    known = {one.mac: one.address for one in standings.values() if one.mac and one.address}
    return resolve_fleet(fleet, known)
