"""What holds at every moment between two transactions, whatever has happened.

No two leases overlap; every address that central's Neutron has given out lies in a lease; a site's
blocks are among those that central has leased to it; what a site has given out of its own lies in
its blocks; a port has its home where its network is, and is located there; and what is mapped to a
site that is known to lack it is noted in the journal.
"""

import ipaddress
import itertools
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import Server

Row = dict[str, Any]


def check(central: CentralServer, *sites: LocalServer) -> None:
    """Check central, and the sites that run."""
    found = find_faults(central, *sites)
    assert not found, "\n".join(found)


def find_faults(central: CentralServer, *sites: LocalServer) -> list[str]:
    """List what does not hold."""
    faults = [
        *_overlaps(_read(central, "isthmus_leases")),
        *_outside_leases(central),
        *_homes(central),
        *_list_strays(central, _OF_ROUTERS_AT_CENTRAL),
    ]
    for site in sites:
        faults += _of_site(central, site)
        faults += _list_strays(site, _OF_ROUTERS_AT_SITES)
    return faults


def _read(server: Server, table: str) -> list[Row]:
    with server.database() as connection:
        return [dict(row._mapping) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]


def _span(row: Row) -> tuple[int, int]:
    return int(row["first"]), int(row["last"])


def _overlaps(leases: Iterable[Row]) -> list[str]:
    by_pool: dict[tuple[str, str], list[Row]] = {}
    for row in leases:
        by_pool.setdefault((row["kind"], row["pool_id"]), []).append(row)
    return [
        f"{kind} {pool_id}: {one['site']} {_span(one)} overlaps {two['site']} {_span(two)}"
        for (kind, pool_id), rows in by_pool.items()
        for one, two in itertools.pairwise(sorted(rows, key=_span))
        if int(one["last"]) >= int(two["first"])
    ]


def _allocations(server: Server) -> list[tuple[str, int]]:
    """List (subnet, address) of every address that is given out one by one."""
    query = sa.text(
        "SELECT s.id, a.ip_address FROM ipamallocations a "
        "JOIN ipamsubnets i ON i.id = a.ipam_subnet_id "
        "JOIN subnets s ON s.id = i.neutron_subnet_id "
        "WHERE COALESCE(s.ipv6_address_mode, '') NOT IN ('slaac', 'dhcpv6-stateless') "
        "AND COALESCE(s.ipv6_ra_mode, '') NOT IN ('slaac', 'dhcpv6-stateless')"
    )
    with server.database() as connection:
        return [(row[0], int(ipaddress.ip_address(row[1]))) for row in connection.execute(query)]


def _outside_leases(central: CentralServer) -> list[str]:
    blocks: dict[str, list[tuple[int, int]]] = {}
    for row in _read(central, "isthmus_leases"):
        blocks.setdefault(row["pool_id"], []).append(_span(row))
    return [
        f"central gave out {ipaddress.ip_address(number)} of subnet {subnet_id} without a lease"
        for subnet_id, number in _allocations(central)
        if not any(first <= number <= last for first, last in blocks.get(subnet_id, ()))
    ]


def _homes(central: CentralServer) -> list[str]:
    """Find homes where the port's network is not, and locations that are not at the home.

    A site that was removed may come back, and have the network then.
    """
    strange = sa.text(
        "SELECT h.resource_id, h.site FROM isthmus_site_mappings h "
        "JOIN ports p ON p.id = h.resource_id "
        "LEFT JOIN isthmus_site_mappings n "
        "ON n.type = 'network' AND n.resource_id = p.network_id AND n.site = h.site "
        "WHERE h.type = 'port' AND n.site IS NULL AND h.site NOT LIKE 'gone/%'"
    )
    elsewhere = sa.text(
        "SELECT l.port_id, l.site, h.site FROM isthmus_locations l "
        "LEFT JOIN isthmus_site_mappings h ON h.type = 'port' AND h.resource_id = l.port_id "
        "WHERE h.site IS NULL OR h.site <> l.site"
    )
    with central.database() as connection:
        return [
            *(
                f"port {row[0]} has its home at {row[1]}, where its network is not"
                for row in connection.execute(strange)
            ),
            *(
                f"port {row[0]} is located at {row[1]}, and has its home at {row[2]}"
                for row in connection.execute(elsewhere)
            ),
        ]


#: What outlives its router, or is had twice, by the query that finds it.
_OF_ROUTERS_AT_CENTRAL = {
    "has transit keys and is at no site": (
        "SELECT router_id FROM isthmus_transit_ports WHERE router_id NOT IN "
        "(SELECT resource_id FROM isthmus_site_mappings WHERE type = 'router')"
    ),
    "has a transit network without a key": (
        "SELECT router_id FROM isthmus_transit_ports WHERE router_id NOT IN "
        "(SELECT network_id FROM isthmus_datapaths)"
    ),
    "has a hypervisor for a gateway and no gateway": (
        "SELECT router_id FROM isthmus_gateway_hypervisors WHERE router_id NOT IN "
        "(SELECT router_id FROM routerports WHERE port_type = 'network:router_gateway')"
    ),
}
_OF_ROUTERS_AT_SITES = {
    "has exits and is not here": (
        "SELECT router_id FROM isthmus_exits WHERE router_id NOT IN (SELECT id FROM routers)"
    ),
    "has hypervisors of other sites and no exits": (
        "SELECT router_id FROM isthmus_exit_hypervisors WHERE router_id NOT IN "
        "(SELECT router_id FROM isthmus_exits)"
    ),
    "has the key of another router's transit network": (
        "SELECT a.router_id FROM isthmus_exits a JOIN isthmus_exits b "
        "ON a.datapath_key = b.datapath_key AND a.router_id <> b.router_id"
    ),
    "has the key of a network": (
        "SELECT e.router_id FROM isthmus_exits e JOIN isthmus_datapaths d "
        "ON e.datapath_key = d.datapath_key"
    ),
}


def _list_strays(server: Server, queries: dict[str, str]) -> list[str]:
    with server.database() as connection:
        return [
            f"router {row[0]} {what}"
            for what, query in queries.items()
            for row in connection.exec_driver_sql(query)
        ]


def _of_site(central: CentralServer, site: LocalServer) -> list[str]:
    # The site first: what it holds, central leased to it earlier, and takes back only afterwards.
    own = list(_read(site, "isthmus_leases"))
    mapped = [row for row in _read(central, "isthmus_site_mappings") if row["site"] == site.site]
    at_site = {
        (row["type"], row["resource_id"])
        for table in ("isthmus_site_mappings", "isthmus_journal")
        for row in _read(site, table)
    }
    at_site |= {("port", row["id"]) for row in _read(site, "ports")}  # it may yet await an answer
    noted = {
        (row["type"], row["resource_id"])
        for row in _read(central, "isthmus_journal")
        if row["lane"] == site.site
    }
    leased: dict[str, list[tuple[int, int]]] = {}
    for row in _read(central, "isthmus_leases"):
        if row["site"] == site.site:
            leased.setdefault(row["pool_id"], []).append(_span(row))
    faults = _overlaps(own)
    for row in own:
        first, last = _span(row)
        if not any(a <= first and last <= b for a, b in leased.get(row["pool_id"], ())):
            faults.append(
                f"{site.site} holds {first} to {last}, which central has not leased to it"
            )
    faults += _strangers(central, site, own)
    for row in mapped:
        key = (row["type"], row["resource_id"])
        if key not in at_site and key not in noted:
            faults.append(f"{' '.join(key)} is mapped to {site.site}, not there and not noted")
    return faults


def _strangers(central: CentralServer, site: LocalServer, own: Iterable[Row]) -> list[str]:
    """Find addresses that a site gave out on stretched subnets outside of everybody's word."""
    held: dict[str, list[tuple[int, int]]] = {}
    for row in own:
        held.setdefault(row["pool_id"], []).append(_span(row))
    known = set(_allocations(central))
    stretched = {row["id"] for row in _read(central, "subnets")}
    return [
        f"{site.site} uses {ipaddress.ip_address(number)} of subnet {subnet_id}, not leased to it"
        for subnet_id, number in _allocations(site)
        if subnet_id in stretched
        and (subnet_id, number) not in known
        and not any(first <= number <= last for first, last in held.get(subnet_id, ()))
    ]
