"""Collecting all that a verdict needs, within one deadline."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from isthmus import errors
from isthmus.diagnose.collect import host as host_facts
from isthmus.diagnose.collect import neutron, ovn
from isthmus.diagnose.collect.protocols import WaysIn
from isthmus.diagnose.collect.resolve import resolve_port
from isthmus.diagnose.collect.tasks import Gathered, Task, gather
from isthmus.diagnose.question import End, family_of
from isthmus.diagnose.world import Row, Source, Unseen, World
from isthmus.model.site import CENTRAL, SiteState

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
    family: int = 0,
) -> Scene:
    """Find two ends, and read what a verdict on them needs; nothing is written.

    Args:
        ways: to central, the sites, their OVN and hypervisors.
        source: who begins, as a person says it.
        target: who is to be reached.
        timeout_s: for all of it, in seconds; what has not answered by then was not seen.
        now: gives the time that rows bear.
        family: 4 or 6; 0 for what both ends have, IPv4 first.

    Raises:
        NotFound: an end is not there, or the person may not see it.
        Conflict: an end is ambiguous.
        Invalid: both are one port.
        Unsupported: an end lies behind a router.
        IsthmusError: central does not answer.
    """
    deadline = time.monotonic() + timeout_s
    with ThreadPoolExecutor(max_workers=3) as threads:
        listed = threads.submit(ways.api.list, "site")
        found = list(threads.map(lambda one: resolve_port(ways, one), (source, target)))
        ports = (found[0][0], found[1][0])
        if ports[0]["id"] == ports[1]["id"]:
            raise errors.Invalid(f"{source!r} and {target!r} are one port, {ports[0]['id']}")
        ids = sorted({row["network_id"] for row in ports})
        networks = threads.submit(ways.api.list, "network", id=ids)
        subnets = threads.submit(ways.api.list, "subnet", network_id=ids)
        mapped = _find_homes(ways, ports)
        homes = [one[2] or home for one, home in zip(found, mapped, strict=True)]
        known: dict[str, Sequence[Row]] = {
            "port": ports,
            "site": listed.result(),
            "network": networks.result(),
            "subnet": subnets.result(),
        }
    rows = _Rows(ways, known, ports, homes)
    first_deadline = deadline - timeout_s * _FOR_HOSTS
    seen = gather([*rows.central(), *rows.sites()], first_deadline, now)
    seen.unseen += rows.unseen
    world = World(dict(seen.seen), tuple(seen.unseen))
    chosen = family or _choose_family(found[0][1] or found[1][1], ports)
    ends = [
        _make_end(world, asked, port, home, address, chosen)
        for asked, (port, address, _), home in zip((source, target), found, homes, strict=True)
    ]
    world = _add_hosts(ways, world, (ends[0], ends[1]), deadline, now)
    return Scene(world, ends[0], ends[1], chosen)


class _Rows:
    """The tasks of central and of the sites that the ends are at."""

    def __init__(
        self,
        ways: WaysIn,
        known: Mapping[str, Sequence[Row]],
        ports: tuple[Row, Row],
        homes: Sequence[str],
    ) -> None:
        self._ways = ways
        self._known = known
        self._sites = {row["name"]: row for row in known["site"]}
        self._ports = ports
        self._homes = [one for one in dict.fromkeys(homes) if one]
        self.unseen: list[Unseen] = []

    def central(self) -> Iterator[Task]:
        yield from neutron.central_tasks(self._ways.api, self._ports, self._known)

    def sites(self) -> Iterator[Task]:
        networks = self._networks()
        for name in self._homes:
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
            yield from self._ovn(name)

    def _ovn(self, name: str) -> Iterator[Task]:
        try:
            nb, sb = self._ways.open_northbound(name), self._ways.open_southbound(name)
        except errors.Refused as error:
            for source in (Source.NB, Source.SB):
                self.unseen.append(Unseen(source, name, error.message))
            return
        yield from ovn.tasks(name, nb, sb, self._ports)

    def _networks(self) -> list[Row]:
        cidrs: dict[str, list[str]] = {}
        for one in self._known["subnet"]:
            cidrs.setdefault(one["network_id"], []).append(one["cidr"])
        return [{**row, "cidrs": cidrs.get(row["id"], [])} for row in self._known["network"]]


def _find_homes(ways: WaysIn, ports: tuple[Row, Row]) -> list[str]:
    """Find the site of each port: what central maps it to, else where central says it is bound."""
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


def _choose_family(address: str, ports: tuple[Row, Row]) -> int:
    if address:
        return family_of(address)
    families = [
        {family_of(one["ip_address"]) for one in port.get("fixed_ips") or ()} for port in ports
    ]
    shared = families[0] & families[1]
    return 6 if shared == {6} else 4


def _make_end(world: World, asked: str, central: Row, home: str, address: str, family: int) -> End:
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
    )


def _add_hosts(
    ways: WaysIn,
    world: World,
    ends: tuple[End, End],
    deadline: float,
    now: Callable[[], str],
) -> World:
    tasks: list[Task] = []
    unseen: list[Unseen] = []
    for one, other in (ends, ends[::-1]):
        if not one.host:
            continue
        try:
            found = ways.open_host(one.host)
        except errors.Refused as error:
            unseen.append(Unseen(Source.HOST, one.host, error.message))
            continue
        tunnels = _tunnels(world, one, other)
        towards = _towards(world, one, other)
        tasks += host_facts.tasks(one.host, found, tunnels=tunnels, towards=towards)
    seen: Gathered = gather(tasks, deadline, now)
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
    if one.network_id != other.network_id:
        return []
    paths = {row["_uuid"]: row for row in _list(world, Source.SB, one.site, "Datapath_Binding")}
    return [
        (other.id, int(paths[row["datapath"]]["tunnel_key"]), int(row["tunnel_key"]))
        for row in _list(world, Source.SB, one.site, "Port_Binding")
        if row["logical_port"] == other.id and row["datapath"] in paths
    ]
