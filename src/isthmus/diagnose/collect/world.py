"""Collecting all that a verdict needs, within one deadline."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from typing_extensions import override

from isthmus import errors
from isthmus.diagnose.collect import around, machine, neutron, ovn, router_rows
from isthmus.diagnose.collect import host as host_facts
from isthmus.diagnose.collect.protocols import InMemory, WaysIn
from isthmus.diagnose.collect.resolve import Found, resolve_end
from isthmus.diagnose.collect.routers import RouterFacts, list_sites
from isthmus.diagnose.collect.tasks import Gathered, Task, gather
from isthmus.diagnose.question import PING, End, EndKind, Service, Way, family_of
from isthmus.diagnose.route.fabric import Fabric, addresses, same_family
from isthmus.diagnose.route.legs import plan_legs, somewhere
from isthmus.diagnose.world import Row, Source, Unseen, World
from isthmus.model.dataplane.ovn import TRANSIT_PREFIX
from isthmus.model.site import CENTRAL, SiteState

_T = TypeVar("_T")
#: The part of the time that is left for hypervisors, which are asked last.
_FOR_HOSTS = 0.4


@dataclass(frozen=True, slots=True)
class Scene:
    """The two ends, and what was seen of what lies between them."""

    world: World
    source: End
    target: End
    family: int


def collect_scene(
    ways: WaysIn,
    source: str,
    target: str,
    *,
    timeout_s: float,
    now: Callable[[], str],
    service: Service = PING,
    family: int = 0,
) -> Scene:
    """Find two ends, and read what a verdict on them needs; nothing is written.

    Args:
        ways: to central, the sites, their OVN and hypervisors.
        source: who begins, as a person says it.
        target: who is to be reached.
        timeout_s: for all of it, in seconds; what has not answered by then was not seen.
        now: gives the time that rows bear.
        service: what is to be reached.
        family: 4 or 6; 0 for what both ends have, IPv4 first.

    Raises:
        NotFound: an end is not there, or the person may not see it.
        Conflict: an end is ambiguous.
        Invalid: both are one port, or no packet goes from one to the other.
        IsthmusError: central does not answer.
    """
    deadline = time.monotonic() + timeout_s
    threads = not isinstance(ways, InMemory)
    found, known, homes = _find_ends(ways, (source, target), service, threads)
    chosen = family or _choose_family(found)
    routers = RouterFacts(ways.api)
    if _may_route(found, known["subnet"]):
        asked = [one.floating for one in found if one.floating is not None]
        routers.collect(known["port"], known["subnet"], asked)
    rows = _Rows(ways, known, routers, homes)
    first_deadline = deadline - timeout_s * _FOR_HOSTS
    seen = gather([*rows.central(), *rows.sites()], first_deadline, now, threads=threads)
    seen.unseen += [*rows.unseen, *routers.unseen]
    world = World(dict(seen.seen), tuple(seen.unseen))
    ends = [
        _make_end(world, words, one, home, chosen)
        for words, one, home in zip((source, target), found, homes, strict=True)
    ]
    ends[1] = _place_router(ends[1], ends[0], Fabric(world))
    there, back = plan_legs(world, ends[0], ends[1], service, chosen)
    world = _add_hosts(ways, world, (*there, *back), (deadline, now), threads)
    return Scene(world, ends[0], ends[1], chosen)


class _AtOnce(Executor):
    """Does what it is given before it goes on."""

    @override
    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        done: Future[_T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except errors.IsthmusError as error:
            done.set_exception(error)
        return done


def _find_ends(
    ways: WaysIn, asked: tuple[str, str], service: Service, threads: bool
) -> tuple[list[Found], dict[str, Sequence[Row]], list[str]]:
    """Find both ends; gives them, the tables that were read for that, and the sites of the ends."""
    with ThreadPoolExecutor(max_workers=3) if threads else _AtOnce() as at_work:
        listed = at_work.submit(ways.api.list, "site")
        found = list(at_work.map(lambda one: resolve_end(ways, one, service), asked))
        ports = [one.port for one in found if one.port]
        _require_way(found, asked)
        ids = sorted({row["network_id"] for row in ports})
        networks = at_work.submit(ways.api.list, "network", id=ids)
        subnets = at_work.submit(ways.api.list, "subnet", network_id=ids)
        mapped = dict(zip((one["id"] for one in ports), _find_homes(ways, ports), strict=True))
        homes = [one.site or mapped.get(one.port.get("id"), "") for one in found]
        known: dict[str, Sequence[Row]] = {
            "port": ports,
            "site": listed.result(),
            "network": networks.result(),
            "subnet": subnets.result(),
        }
    return found, known, homes


def _require_way(found: Sequence[Found], asked: tuple[str, str]) -> None:
    """Refuse a question that no packet answers."""
    one, other = found
    if one.port and other.port and one.port["id"] == other.port["id"] and not other.floating:
        raise errors.Invalid(f"{asked[0]!r} and {asked[1]!r} are one port, {one.port['id']}")
    if one.kind is EndKind.ROUTER:
        raise errors.Invalid(f"{asked[0]!r} sends nothing of its own: ask from a server")
    if one.kind is EndKind.OUTSIDE and other.kind is EndKind.OUTSIDE:
        raise errors.Invalid("both ends are outside: nothing of the cloud is between them")
    if one.kind is EndKind.OUTSIDE and not other.port and other.floating is None:
        raise errors.Invalid(f"{asked[1]!r} is a router: ask for a server or a floating IP")


def _may_route(found: Sequence[Found], subnets: Sequence[Row]) -> bool:
    """Tell whether a router may be on the way: the ends are not on one network, or subnet."""
    if any(one.kind is not EndKind.PORT or one.floating is not None for one in found):
        return True
    networks = {one.port["network_id"] for one in found}
    return len(networks) > 1 or len(subnets) > 1


class _Rows:
    """The tasks of central and of the sites that the ends are at."""

    def __init__(
        self,
        ways: WaysIn,
        known: Mapping[str, Sequence[Row]],
        routers: RouterFacts,
        homes: Sequence[str],
    ) -> None:
        self._ways = ways
        self._known = known
        self._sites = {row["name"]: row for row in known["site"]}
        self._ports = known["port"]
        self._routers = routers.tables
        self._homes = [one for one in dict.fromkeys(homes) if one]
        self.unseen: list[Unseen] = []

    def central(self) -> Iterator[Task]:
        known = {**self._known, **self._routers}
        yield from neutron.central_tasks(self._ways.api, self._ports, known)
        yield from around.central_tasks(self._ways.api, self._ports, self._known["network"])

    def sites(self) -> Iterator[Task]:
        networks = self._networks()
        cidrs = {str(one["cidr"]) for one in self._known["subnet"]}
        leaving = list_sites(self._routers, self._homes, cidrs)
        for name in dict.fromkeys([*self._homes, *leaving]):
            row = self._sites.get(name)
            if row is None:
                reason = "central does not name it to you: that takes the role admin"
                self.unseen.append(Unseen(Source.NEUTRON, name, reason))
            elif row.get("state") == SiteState.DISABLED:
                reason = "an operator has disabled it"
                self.unseen.append(Unseen(Source.NEUTRON, name, reason))
            else:
                api = self._ways.open_site_api(name, row["region"])
                yield from neutron.site_tasks(api, name, self._ports, networks)
                routers = self._routers.get("router", [])
                yield from around.site_tasks(api, name, self._ports, routers)
            yield from self._ovn(name)

    def _ovn(self, name: str) -> Iterator[Task]:
        try:
            nb, sb = self._ways.open_northbound(name), self._ways.open_southbound(name)
        except errors.Refused as error:
            for source in (Source.NB, Source.SB):
                self.unseen.append(Unseen(source, name, error.message))
            return
        yield from ovn.tasks(name, nb, sb, self._ports)
        if self._routers.get("router_port") or self._routers.get("router_exit"):
            yield from router_rows.tasks(name, nb, sb, self._wanted(name))

    def _wanted(self, site: str) -> router_rows.Wanted:
        """Say what of routers is read at a site."""
        plans = self._routers.get("router_exit", [])
        gateways = [one for plan in plans for one in plan.get("gateways") or ()
                    if one.get("site") == site]  # fmt: skip
        ports = [*self._routers.get("router_port", []), *gateways]
        return router_rows.Wanted(
            routers=sorted({str(row["id"]) for row in self._routers.get("router", [])}),
            ports=sorted({str(row["id"]) for row in ports}),
            externals=sorted({str(one["network_id"]) for one in gateways}),
            peers=[
                f"{TRANSIT_PREFIX}{plan['id']}/{one['site']}"
                for plan in plans for one in plan.get("sites") or () if one["site"] != site
            ],
        )  # fmt: skip

    def _networks(self) -> list[Row]:
        cidrs: dict[str, list[str]] = {}
        for one in self._known["subnet"]:
            cidrs.setdefault(one["network_id"], []).append(one["cidr"])
        return [{**row, "cidrs": cidrs.get(row["id"], [])} for row in self._known["network"]]


def _find_homes(ways: WaysIn, ports: Sequence[Row]) -> list[str]:
    """Find the site of each port: what central maps it to, else where central says it is bound."""
    if not ports:
        return []
    try:
        rows = ways.api.list("site_mapping", type="port", resource_id=[one["id"] for one in ports])
    except errors.Refused:
        rows = []
    mapped = {row["resource_id"]: row["site"] for row in rows if not row.get("withdrawn")}
    return [
        str(mapped.get(one["id"]) or str(one.get("binding:host_id") or "").partition("/")[0])
        if "/" in str(one.get("binding:host_id") or "") or one["id"] in mapped
        else ""
        for one in ports
    ]


def _choose_family(found: Sequence[Found]) -> int:
    address = next((one.address for one in found if one.address), "")
    if address:
        return family_of(address)
    families = [
        {family_of(one["ip_address"]) for one in end.port.get("fixed_ips") or ()}
        for end in found if end.port
    ]  # fmt: skip
    return 6 if set.intersection(*families) == {6} else 4


def _make_end(world: World, asked: str, found: Found, home: str, family: int) -> End:
    central, address = found.port, found.address
    if not central:
        return End(
            asked=asked,
            port={},
            address=address or (somewhere(family) if found.kind is EndKind.OUTSIDE else ""),
            kind=found.kind,
            floating=found.floating,
            router_id=found.router_id,
        )
    here = None
    if world.has_table(Source.NEUTRON, home, "port"):
        here = world.find(Source.NEUTRON, home, "port", id=central["id"])
    port = here or central
    host = str(port.get("binding:host_id") or "").rpartition("/")[2]
    fixed = [str(one["ip_address"]) for one in port.get("fixed_ips") or ()]
    network = None
    if world.has_table(Source.CENTRAL, CENTRAL, "network"):
        network = world.find(Source.CENTRAL, CENTRAL, "network", id=port["network_id"])
    return End(
        asked=asked,
        port=port,
        site=home,
        host=host,
        address=address or next((one for one in fixed if family_of(one) == family), ""),
        network=network,
        floating=found.floating,
    )


def _place_router(end: End, other: End, fabric: Fabric) -> End:
    """Place a router where it answers: on the hypervisor of the one who asks."""
    if end.kind is not EndKind.ROUTER or end.floating is not None:
        return end
    own = [
        (port["network_id"] != other.network_id, address)
        for port in fabric.interfaces(end.router_id)
        for address in addresses(port)
        if same_family(address, other.address)
    ]
    address = end.address or (min(own)[1] if own else "")
    return replace(end, address=address, site=other.site, host=other.host)


def _add_hosts(
    ways: WaysIn,
    world: World,
    legs: Sequence[Way],
    clock: tuple[float, Callable[[], str]],
    threads: bool,
) -> World:
    """Read the hypervisors of all legs: their ends, and those that have the gateways."""
    unseen: list[Unseen] = []
    asked: dict[str, tuple[dict[str, None], dict[tuple[str, int, int], None]]] = {}
    own: dict[str, set[str]] = {}
    others: dict[str, set[str]] = {}
    for leg in legs:
        one, other = leg.sender, leg.receiver
        if one.host:
            tunnels, towards = asked.setdefault(one.host, ({}, {}))
            tunnels.update(dict.fromkeys(_tunnels(world, one, other)))
            towards.update(dict.fromkeys(_towards(world, one, other)))
            own.setdefault(one.host, set()).update({one.id} - {""})
            others.setdefault(one.host, set()).update({other.mac_address} - {""})
    tasks: list[Task] = []
    for host, (tunnels, towards) in asked.items():
        try:
            found = ways.open_host(host)
        except errors.Refused as error:
            unseen.append(Unseen(Source.HOST, host, error.message))
            continue
        tasks += host_facts.tasks(host, found, tunnels=[*tunnels], towards=[*towards])
        tasks += machine.tasks(host, found, own=sorted(own[host]), towards=sorted(others[host]))
    seen: Gathered = gather(tasks, *clock, threads=threads)
    return replace(
        world,
        seen={**world.seen, **seen.seen},
        unseen=(*world.unseen, *unseen, *seen.unseen),
    )


def _list(world: World, source: Source, place: str, table: str) -> Sequence[Row]:
    return world.rows(source, place, table) if world.has_table(source, place, table) else ()


def _tunnels(world: World, one: End, other: End) -> list[str]:
    """List the tunnel addresses of the other end's hypervisor."""
    if (one.site, one.host) == (other.site, other.host):
        return []
    names = [
        row["name"] for row in _list(world, Source.SB, other.site, "Chassis")
        if row.get("hostname") == other.host
    ]  # fmt: skip
    return [
        str(row["ip"]) for row in _list(world, Source.SB, other.site, "Encap")
        if row["chassis_name"] in names
    ]  # fmt: skip


def _towards(world: World, one: End, other: End) -> list[tuple[str, int, int]]:
    """List the other end's port, with the keys that the hypervisor's site has for it."""
    if not other.id:
        return []
    paths = {row["_uuid"]: row for row in _list(world, Source.SB, one.site, "Datapath_Binding")}
    return [
        (other.id, int(paths[row["datapath"]]["tunnel_key"]), int(row["tunnel_key"]))
        for row in _list(world, Source.SB, one.site, "Port_Binding")
        if row["logical_port"] == other.id and row["datapath"] in paths
    ]
