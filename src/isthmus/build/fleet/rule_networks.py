"""Rules of networks: addresses lie where they must, and nothing has two owners."""

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import combinations

from isthmus import errors
from isthmus.build.fleet import resolve
from isthmus.build.fleet.document import Path
from isthmus.build.fleet.rules import Case, Finding, refer
from isthmus.model.rack.fleet import Network, Site

Cidr = ipaddress.IPv4Network | ipaddress.IPv6Network
Row = tuple[str, Cidr, Path]  #: what it is, its range, where it stands


def find_cidr(network: Network) -> Cidr | None:
    """Return a network's range; None where it is none, which a rule of its own says."""
    try:
        return ipaddress.ip_network(network.cidr)
    except ValueError:
        return None


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text or "")
    except ValueError:
        return None


def check_networks(case: Case) -> Iterator[Finding]:
    """Find networks that are none, overlap, or have their gateway or pool elsewhere."""
    for s, site in enumerate(case.fleet.sites):
        names = case.names_at(("sites", s), "networks")
        yield from refer(("sites", s, "provisioning"), "network", site.provisioning, names)
        for n, network in enumerate(site.networks):
            yield from _check_network(("sites", s, "networks", n), site, network)
    yield from _check_overlaps(case)


def _check_network(path: Path, site: Site, network: Network) -> Iterator[Finding]:
    try:
        cidr = ipaddress.ip_network(network.cidr)
    except ValueError as exc:
        hint = "; write the network's own address" if "host bits" in str(exc) else ""
        yield (*path, "cidr"), f"{network.cidr} is no network: {exc}{hint}"
        return
    if network.name == site.provisioning and cidr.version != 4:
        yield (
            (*path, "cidr"),
            f"{network.name} is IPv6: machines here boot from the network by IPv4",
        )
    if network.gateway is not None:
        yield from _check_inside((*path, "gateway"), "the gateway", network.gateway, network, cidr)
    for i, server in enumerate(network.dns):
        if _address(server) is None:
            yield (*path, "dns", i), f"{server!r} is no IP address"
    if network.pool:
        try:
            low, high = resolve.pool_bounds(network)
        except errors.Invalid as exc:
            yield (*path, "pool"), exc.message
            return
        if low < int(cidr.network_address) or high > int(cidr.broadcast_address):
            yield (*path, "pool"), f"the pool {network.pool} is not inside {network.cidr}"


def _check_overlaps(case: Case) -> Iterator[Finding]:
    boots: list[Row] = []
    for s, site in enumerate(case.fleet.sites):
        rows = [
            (f"{network.name} of {site.name}", cidr, ("sites", s, "networks", n, "cidr"))
            for n, network in enumerate(site.networks)
            if (cidr := find_cidr(network)) is not None
        ]
        yield from _overlaps(case, rows)
        boots += [row for row in rows if row[0] == f"{site.provisioning} of {site.name}"]
    # One builder serves the provisioning networks of all sites.
    yield from _overlaps(case, boots)


def _overlaps(case: Case, rows: Sequence[Row]) -> Iterator[Finding]:
    for (name, one, path), (first, other, place) in combinations(reversed(rows), 2):
        if one.version == other.version and one.overlaps(other):
            yield path, f"{name} ({one}) overlaps {first} ({other}), line {case.line(place)}"


def check_addresses(case: Case) -> Iterator[Finding]:
    """Find addresses outside their network, and those that have two owners."""
    if _address(case.fleet.builder.address) is None:
        yield ("builder", "address"), f"{case.fleet.builder.address!r} is no IP address"
    for s, site in enumerate(case.fleet.sites):
        networks = {one.name: one for one in site.networks}
        known = case.names_at(("sites", s), "networks")
        owners = _owners(case, site)
        for path, _, node in case.nodes_of(s):
            for name, address in node.addresses.items():
                here = (*path, "addresses", name)
                yield from refer(here, "network", name, known)
                cidr = find_cidr(networks[name]) if name in networks else None
                if cidr is None:
                    continue
                found = list(_check_inside(here, node.name, address, networks[name], cidr))
                yield from found
                if found:
                    continue
                owner = owners.setdefault((name, address), f"{node.name}, line {case.line(here)}")
                if not owner.startswith(f"{node.name}, "):
                    yield here, f"{address} of {node.name} belongs to {owner} already"


def _owners(case: Case, site: Site) -> dict[tuple[str, str], str]:
    owners: dict[tuple[str, str], str] = {}
    for network in site.networks:
        owners[network.name, case.fleet.builder.address] = "the builder"
        if network.gateway:
            owners[network.name, network.gateway] = f"the gateway of {network.name}"
        if site.ha and site.ha.vip:
            owners[network.name, site.ha.vip] = f"the VIP of {site.name}"
    return owners


def _check_inside(
    path: Path, what: str, text: str, network: Network, cidr: Cidr
) -> Iterator[Finding]:
    address = _address(text)
    if address is None:
        yield path, f"{what}: {text!r} is no IP address"
    elif address not in cidr:
        yield path, f"{what}: {text} is not in {network.name} ({network.cidr})"
    elif cidr.num_addresses > 2 and address in {cidr.network_address, cidr.broadcast_address}:
        yield path, f"{what}: {text} is the first or last address of {network.cidr}: no host has it"


def check_pools(case: Case) -> Iterator[Finding]:
    """Find provisioning networks that have too few addresses for their machines."""
    for s, site in enumerate(case.fleet.sites):
        for n, network in enumerate(site.networks):
            if network.name != site.provisioning or find_cidr(network) is None:
                continue
            wanted = sum(1 for *_, node in case.nodes_of(s) if network.name not in node.addresses)
            try:
                taken = resolve.taken_addresses(case.fleet, site, network)
                free = resolve.count_free(network, taken)
            except errors.Invalid:
                continue
            if free < wanted:
                yield (
                    ("sites", s, "networks", n, "pool" if network.pool else "cidr"),
                    f"{network.name} has {free} free addresses, and {wanted} machines need one: "
                    "widen the pool",
                )


def check_vips(case: Case) -> Iterator[Finding]:
    """Find VIPs that lie outside their network, or are missing."""
    for s, site in enumerate(case.fleet.sites):
        if site.ha is None:
            continue
        path: Path = ("sites", s, "ha")
        name = site.ha.network or site.provisioning
        yield from refer(
            (*path, "network"), "network", site.ha.network, case.names_at(("sites", s), "networks")
        )
        if site.ha.vip is None:
            if site.ha.controllers > 1:
                yield path, f"{site.name} has {site.ha.controllers} controllers and no vip"
            continue
        network = next((one for one in site.networks if one.name == name), None)
        cidr = find_cidr(network) if network else None
        if network is not None and cidr is not None:
            yield from _check_inside((*path, "vip"), "the VIP", site.ha.vip, network, cidr)
