"""Sites and hypervisors themselves, whether or not a port needs them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from isthmus import errors
from isthmus.diagnose.check.look import Check, Look, at_a_site
from isthmus.diagnose.checks import CHECKS
from isthmus.diagnose.collect import host as host_facts
from isthmus.diagnose.collect import machine
from isthmus.diagnose.collect.tasks import Task, gather
from isthmus.diagnose.course import SWITCHED
from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import run_check
from isthmus.diagnose.question import PING, Direction, End, EndKind, Packet, Way
from isthmus.diagnose.world import Seen, Source, World
from isthmus.model.dataplane.ovn import REMOTE_FLAG
from isthmus.model.site import CENTRAL, SiteState
from isthmus.model.verdict import Ruling, Verdict

#: Checks of a site and of a hypervisor that need no port.
_OF_SITES = ("site", "ovn-northd", "servers of OVN's databases", "jobs", "refused reports")
_OF_HOSTS = (
    "daemons of the hypervisor", "chassis", "heartbeat", "tunnel address", "upcalls",
    "version of ovn-northd", "certificates", "roles in OVN", "clock of the hypervisor",
    "agents of the hypervisor",
)  # fmt: skip
#: A dump answers at once.
_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of one site or hypervisor."""

    end: End
    rulings: tuple[tuple[Ruling, bool], ...]  #: and whether each is vital
    verdicts: tuple[Verdict, ...]


def look_at_sites(ways: Recorded, dump: Dump) -> Iterator[Looked]:
    """Yield what is found of each site, and of each of its hypervisors."""
    central = dump.tables.get((Source.CENTRAL, CENTRAL), {})
    hosts = list_hosts(dump)
    world = _make_world(ways, dump, hosts)
    for row in central.get("site", ()):
        site = str(row["name"])
        names = _OF_SITES if row.get("state") != SiteState.DISABLED else ("site",)
        yield _look(world, _make_end(site, ""), names)
    for host, site in hosts.items():
        yield _look(world, _make_end(site, host), _OF_HOSTS)


def list_hosts(dump: Dump) -> dict[str, str]:
    """List the hypervisors that sites have registered, each with its site."""
    found: dict[str, str] = {}
    for (source, site), tables in dump.tables.items():
        for row in tables.get("Chassis", ()) if source is Source.SB else ():
            if str((row.get("other_config") or {}).get(REMOTE_FLAG)).lower() != "true":
                found.setdefault(str(row["hostname"]), site)
    return found


def _make_end(site: str, host: str) -> End:
    return End(asked=host or site, port={}, site=site, host=host, kind=EndKind.ROUTER)


def _make_world(ways: Recorded, dump: Dump, hosts: Mapping[str, str]) -> World:
    seen = {
        key: Seen(tables, dump.at) for key, tables in dump.tables.items()
        if key[0] is not Source.HOST
    }  # fmt: skip
    tasks: list[Task] = []
    for host in hosts:
        try:
            found = ways.open_host(host)
        except errors.Refused:
            continue
        tasks += host_facts.tasks(host, found, tunnels=(), towards=())
        tasks += machine.tasks(host, found, own=(), towards=())
    read = gather(tasks, time.monotonic() + _TIMEOUT_S, ways.now)
    return World({**seen, **read.seen}, tuple(read.unseen))


def _look(world: World, end: End, names: tuple[str, ...]) -> Looked:
    packet = Packet(family=4, source="", target="", protocol=PING.protocol)
    way = Way(Direction.THERE, end, end, packet, SWITCHED)
    look = Look(world, way, way, PING)
    found = [(run_check(check, look), check.vital) for check in _choose(names)]
    return Looked(
        end,
        tuple((ruling, vital) for (ruling, _), vital in found),
        tuple(verdict for (_, verdicts), _ in found for verdict in verdicts),
    )


def _choose(names: tuple[str, ...]) -> Iterator[Check]:
    """Yield checks by their names; those of sites need no port here."""
    by_name = {check.name: check for check in CHECKS}
    for name in names:
        check = by_name[name]
        yield replace(check, skips=at_a_site) if name in _OF_SITES else check
