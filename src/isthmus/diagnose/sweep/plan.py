"""Which questions a sweep asks, so that each port, router and floating IP is looked at. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.question import PING, Service
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL, SiteState

_OUTSIDE = "external"
_INTERFACE = "network:router_interface"
#: Services that are asked for beside ICMP, of those that the rules of a port's groups name.
_SERVICES = 3
#: Other sites that a port is asked for with, at most.
_SITES = 8
_WITH_PORT = {"tcp": "tcp", "udp": "udp", "sctp": "sctp", "6": "tcp", "17": "udp", "132": "sctp"}


@dataclass(frozen=True, slots=True)
class Question:
    """One question that a person could ask of `isthmus why`."""

    source: str
    target: str
    service: Service = PING

    @property
    def command(self) -> str:
        """Return it as a command."""
        return f"isthmus why {self.source} {self.target} {self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A port that a server uses, and where it lives."""

    id: str
    network_id: str
    site: str
    host: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked, and which ports are not asked for."""

    questions: tuple[Question, ...]
    guests: tuple[Guest, ...]
    off: tuple[tuple[str, Row], ...]  #: site and port of those that nobody has plugged in, or down
    routers: int
    floating_ips: int


def plan_questions(dump: Dump) -> Plan:
    """Plan the questions that make a sweep.

    Each port is asked for with one of its network at each other site (of many: at some), or with
    any of its network, else with the outside; each router with one port of each of its networks at
    each site; each floating IP from outside. Both ways of a question are looked at, and so both of
    its ends.
    """
    tables = dump.tables.get((Source.CENTRAL, CENTRAL), {})
    guests: list[Guest] = []
    off: list[tuple[str, Row]] = []
    plugged = _list_plugged(dump)
    at_sites = {
        (place, str(row["id"])): row
        for (source, place), found in dump.tables.items() if source is Source.NEUTRON
        for row in found.get("port", ())
    }  # fmt: skip
    for guest, row in _list_guests(tables):
        held = at_sites.get((guest.site, guest.id), row)
        if _is_off(held, guest.id in plugged):
            off.append((guest.site, held))
        else:
            guests.append(guest)
    asked = dict.fromkeys(_ask_all(tables, guests))
    met = {end for one in asked for end in (one.source, one.target)}
    floating = [one for one in tables.get("floatingip", ()) if one.get("port_id")]
    met |= {str(one["port_id"]) for one in floating}
    asked |= dict.fromkeys(Question(one.id, _OUTSIDE) for one in guests if one.id not in met)
    return Plan(
        questions=tuple(asked),
        guests=tuple(guests),
        off=tuple(off),
        routers=len(tables.get("router", ())),
        floating_ips=len(floating),
    )


def _ask_all(tables: Mapping[str, Sequence[Row]], guests: Sequence[Guest]) -> Iterator[Question]:
    services = _list_services(tables.get("security_group", ()))
    yield from _ask_networks(guests, services)
    yield from _ask_routers(tables, guests)
    known = {one.id for one in guests}
    for row in tables.get("floatingip", ()):
        if row.get("port_id") in known:
            yield Question(_OUTSIDE, str(row["id"]))


def _list_guests(tables: Mapping[str, Sequence[Row]]) -> Iterator[tuple[Guest, Row]]:
    """Yield the ports of servers that live at a site which is not disabled."""
    homes = {
        str(row["resource_id"]): str(row["site"])
        for row in tables.get("site_mapping", ())
        if row.get("type") == "port" and not row.get("withdrawn")
    }
    disabled = {
        str(row["name"]) for row in tables.get("site", ()) if row.get("state") == SiteState.DISABLED
    }
    for row in tables.get("port", ()):
        place, slash, host = str(row.get("binding:host_id") or "").partition("/")
        site = homes.get(str(row["id"])) or (place if slash else "")
        owner = str(row.get("device_owner") or "")
        if site and site not in disabled and not owner.startswith("network:"):
            yield (
                Guest(
                    id=str(row["id"]),
                    network_id=str(row["network_id"]),
                    site=site,
                    host=host if slash else place,
                    groups=tuple(row.get("security_groups") or ()),
                ),
                row,
            )


def _list_plugged(dump: Dump) -> set[str]:
    """List the ports that some hypervisor has an interface for."""
    return {
        str((row.get("external_ids") or {}).get("iface-id"))
        for (source, _), tables in dump.tables.items() if source is Source.HOST
        for row in tables.get("Interface", ())
    }  # fmt: skip


def _is_off(port: Row, plugged: bool) -> bool:
    """Tell whether a port is down since a person wants so, or since its server is off."""
    if port.get("admin_state_up") is False:
        return True
    if port.get("binding:vif_type") == "binding_failed" or plugged:
        return False
    return port.get("status") not in ("ACTIVE", None)


def _ask_networks(
    guests: Iterable[Guest], services: Mapping[str, Sequence[Service]]
) -> Iterator[Question]:
    asked: set[tuple[object, ...]] = set()
    for one, other in _list_pairs(guests):
        yield Question(one.id, other.id)
        for sender, receiver in ((one, other), (other, one)):
            for group in receiver.groups:
                for service in services.get(group, ()):
                    key = (group, service, sender.groups, sender.site, receiver.site)
                    if key not in asked:
                        asked.add(key)
                        yield Question(sender.id, receiver.id, service)


def _list_pairs(guests: Iterable[Guest]) -> Iterator[tuple[Guest, Guest]]:
    """Yield pairs of a network, so that each port is in one with each other site."""
    by_network: dict[str, dict[str, list[Guest]]] = defaultdict(lambda: defaultdict(list))
    for guest in guests:
        by_network[guest.network_id][guest.site].append(guest)
    for sites in by_network.values():
        lists = [_mix(one) for one in sites.values()]
        for number, here in enumerate(lists):
            yield from zip(here[::2], here[1::2], strict=False)
            for there in _list_others(lists, number):
                for at in range(max(len(here), len(there))):
                    yield here[at % len(here)], there[at % len(there)]


def _list_others(lists: Sequence[list[Guest]], number: int) -> Iterator[list[Guest]]:
    """Yield the lists of other sites: each pair of sites once; of many sites the next ones."""
    if len(lists) <= _SITES + 1:
        yield from lists[number + 1 :]
    else:
        yield from (lists[(number + step) % len(lists)] for step in range(1, _SITES + 1))


def _mix(guests: Sequence[Guest]) -> list[Guest]:
    """Order ports so that neighbours are on different hypervisors where that can be."""
    by_host: dict[str, list[Guest]] = defaultdict(list)
    for guest in guests:
        by_host[guest.host].append(guest)
    rounds = zip_longest(*by_host.values())
    return [one for some in rounds for one in some if one is not None]


def _ask_routers(
    tables: Mapping[str, Sequence[Row]], guests: Iterable[Guest]
) -> Iterator[Question]:
    """Yield, of each router, questions between its networks and to the outside, from each site."""
    first: dict[str, dict[str, Guest]] = defaultdict(dict)
    for guest in guests:
        first[guest.network_id].setdefault(guest.site, guest)
    joined: dict[str, dict[str, None]] = defaultdict(dict)
    for row in tables.get("port", ()):
        if row.get("device_owner") == _INTERFACE and row["network_id"] in first:
            joined[str(row["device_id"])].setdefault(str(row["network_id"]))
    leaves = {
        str(row["id"]) for row in tables.get("router", ()) if row.get("external_gateway_info")
    }
    for router, networks in joined.items():
        rings = [[*first[one].values()] for one in networks]
        for here, there in pairwise(rings):
            for at, guest in enumerate(here):
                yield Question(guest.id, there[at % len(there)].id)
                yield Question(guest.id, there[(at + 1) % len(there)].id)
        if router in leaves:
            yield from (Question(one.id, _OUTSIDE) for ring in rings for one in ring)


def _list_services(groups: Iterable[Row]) -> dict[str, list[Service]]:
    """List services that rules let in, by security group; a few of each."""
    found: dict[str, list[Service]] = {}
    for group in groups:
        named = {
            (_WITH_PORT[str(rule.get("protocol"))], int(rule["port_range_min"]))
            for rule in group.get("security_group_rules") or ()
            if rule.get("direction") == "ingress" and rule.get("port_range_min")
            and str(rule.get("protocol")) in _WITH_PORT
        }  # fmt: skip
        found[str(group["id"])] = [Service(*one) for one in sorted(named)[:_SERVICES]]
    return found
