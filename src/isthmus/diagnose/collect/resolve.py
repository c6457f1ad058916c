"""Which end a person means: a port, a server, an address, a floating IP, a router, the outside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus import errors
from isthmus.diagnose.collect.protocols import Api, WaysIn
from isthmus.diagnose.question import EndKind, Service, family_of
from isthmus.diagnose.route.fabric import holds, takes
from isthmus.diagnose.world import Row

#: What a person calls the outside as a whole.
_OUTSIDE = frozenset({"external", "internet", "outside"})
_ROUTERS = "network:router"
_FLOATING = "network:floatingip"


@dataclass(frozen=True, slots=True)
class Found:
    """An end as far as it was found."""

    kind: EndKind
    port: Row = field(default_factory=dict)  #: empty where it is no port
    address: str = ""  #: that was asked for; empty where none was
    site: str = ""  #: that alone knows the port; empty where central does
    floating: Row | None = None  #: the floating IP that was asked for
    router_id: str = ""


def resolve_end(ways: WaysIn, asked: str, service: Service) -> Found:
    """Find the end that a person means.

    Args:
        ways: to central and the sites.
        asked: id, name, ADDRESS or ADDRESS@NETWORK, id of a server, name of a lab's server, id or
            address of a floating IP, id or name of a router, or `external`.
        service: that is asked for; port forwardings lead to several servers.

    Raises:
        NotFound: there is none, or none that the person may see.
        Conflict: several are meant.
    """
    if asked.lower() in _OUTSIDE:
        return Found(EndKind.OUTSIDE)
    address, _, network = asked.partition("@")
    if family_of(address):
        return _by_address(ways, address, network, service)
    known = ways.find_server_port(asked)
    if known is not None and (rows := ways.api.list("port", id=known)):
        return Found(EndKind.PORT, rows[0])
    for filters in ({"id": asked}, {"name": asked}, {"device_id": asked}):
        if row := _choose(_of_servers(ways.api.list("port", **filters)), asked):
            return Found(EndKind.PORT, row)
    if found := _by_resource(ways, asked, service):
        return found
    sites = ways.api.list("site")
    at_sites = _ask_sites(ways, sites, asked)
    if row := _choose([one for one, _ in at_sites], asked):
        return Found(EndKind.PORT, row, site=at_sites[0][1])
    raise errors.NotFound(
        f"there is no port, server or address {asked!r}, and no floating IP or router, that you "
        f"may see, at central or at {len(sites)} sites"
    )


def _of_servers(rows: Sequence[Row]) -> list[Row]:
    return [one for one in rows if not _owner(one).startswith((_ROUTERS, _FLOATING))]


def _owner(port: Row) -> str:
    return str(port.get("device_owner") or "")


def _by_resource(ways: WaysIn, asked: str, service: Service) -> Found | None:
    """Find a router, or a floating IP by its id."""
    for filters in ({"id": asked}, {"name": asked}):
        if row := _choose(ways.api.list("router", **filters), asked, "routers"):
            return Found(EndKind.ROUTER, router_id=str(row["id"]))
    rows = ways.api.list("floatingip", id=asked)
    return _by_floating(ways, rows[0], service) if rows else None


def _by_floating(ways: WaysIn, floating: Row, service: Service) -> Found:
    """Find the port that a floating IP leads to, or a port forwarding of it; none where none."""
    port_id, fixed = floating.get("port_id"), str(floating.get("fixed_ip_address") or "")
    if not port_id:
        port_id, fixed = _by_forwarding(ways, floating, service)
    rows = ways.api.list("port", id=port_id) if port_id else []
    if rows:
        return Found(EndKind.PORT, rows[0], fixed, floating=floating)
    router_id = str(floating.get("router_id") or "")
    return Found(EndKind.ROUTER, floating=floating, router_id=router_id)


def _by_forwarding(ways: WaysIn, floating: Row, service: Service) -> tuple[str, str]:
    """Find the port and address that a floating IP forwards a service to; else any of its own."""
    if not floating.get("router_id"):
        return "", ""
    try:
        plans = ways.api.list("router_exit", id=floating["router_id"])
    except errors.Refused:
        return "", ""
    found = [
        one for plan in plans for one in plan.get("forwardings") or ()
        if one.get("floating_ip_id") == floating["id"]
    ]  # fmt: skip
    found.sort(key=lambda one: not takes(one, service))
    return (str(found[0]["port_id"]), str(found[0]["fixed_address"])) if found else ("", "")


def _by_address(ways: WaysIn, address: str, network: str, service: Service) -> Found:
    api = ways.api
    ids: set[str] = set()
    if network:
        networks = api.list("network", id=network) or api.list("network", name=network)
        ids = {row["id"] for row in networks}
        if not ids:
            raise errors.NotFound(f"there is no network {network!r} that you may see")
    floating = [
        one for one in api.list("floatingip", floating_ip_address=address)
        if not ids or one["floating_network_id"] in ids
    ]  # fmt: skip
    if floating:
        return _by_floating(ways, floating[0], service)
    rows = api.list("port", fixed_ips=f"ip_address={address}")
    if network:
        rows = [row for row in rows if row["network_id"] in ids] or _by_pair(api, ids, address)
    row = _choose(rows, address)
    if row is None:
        return _by_prefix(api, address, network)
    if _owner(row).startswith(_ROUTERS):
        gateway = _owner(row) == "network:router_gateway"
        kind = EndKind.OUTSIDE if gateway else EndKind.ROUTER
        return Found(kind, address=address, router_id=str(row.get("device_id") or ""))
    return Found(EndKind.PORT, row, address)


def _by_prefix(api: Api, address: str, network: str) -> Found:
    """Take an address that no port has for one outside, unless a network inside has its prefix."""
    subnets = [one for one in api.list("subnet") if holds(one.get("cidr"), address)]
    external: set[Any] = set()
    if subnets:
        wanted = sorted({one["network_id"] for one in subnets})
        external = {
            one["id"] for one in api.list("network", id=wanted) if one.get("router:external")
        }
    inside = [one for one in subnets if one["network_id"] not in external]
    if network or inside:
        raise errors.NotFound(
            f"no port that you may see has the address {address}"
            + ("" if network else "; say on which network: ADDRESS@NETWORK")
        )
    return Found(EndKind.OUTSIDE, address=address)


def _by_pair(api: Api, networks: set[str], address: str) -> list[Row]:
    """Find the port that may use an address by its allowed address pairs."""
    return [
        row
        for network in sorted(networks)
        for row in api.list("port", network_id=network)
        if any(
            str(one["ip_address"]).partition("/")[0] == address
            for one in row.get("allowed_address_pairs") or ()
        )
    ]


def _choose(rows: Sequence[Row], asked: str, what: str = "ports") -> Row | None:
    if len(rows) > 1:
        ids = ", ".join(
            f"{row['id']} ({row.get('name') or row.get('network_id') or ''})" for row in rows
        )
        raise errors.Conflict(f"{asked!r} means {len(rows)} {what}; say which by its id: {ids}")
    return rows[0] if rows else None


def _ask_sites(ways: WaysIn, sites: Sequence[Row], name: str) -> list[tuple[Row, str]]:
    """Ask the sites; one that does not answer is told of when its rows are read."""
    found: dict[str, tuple[Row, str]] = {}
    for site in sites:
        try:
            rows = ways.open_site_api(site["name"], site["region"]).list("port", name=name)
        except errors.Transient:
            continue
        found |= {row["id"]: (row, site["name"]) for row in rows}
    return list(found.values())
