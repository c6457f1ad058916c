"""Which packets are sent for a question, from where, and where they are looked out for. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from isthmus.diagnose.check.look import Hop, first
from isthmus.diagnose.course import Kind
from isthmus.diagnose.judge import Diagnosis
from isthmus.diagnose.probe.protocols import Place
from isthmus.diagnose.question import Direction, End, EndKind, Way
from isthmus.diagnose.route.legs import somewhere
from isthmus.diagnose.world import Source
from isthmus.model.dataplane.ovn import SWITCH_PREFIX
from isthmus.model.site import CENTRAL

#: How long one probe may take, in seconds; all are sent at the same time.
LIMIT_S = 4.0
#: Where metadata is asked for (RFC 3927's block; Neutron and Nova use this one).
METADATA = "169.254.169.254"
#: How a packet of a VLAN network leaves a hypervisor, in words.
ON_WIRE = "leaves on the physical network"
#: How one comes in by a gateway.
FROM_OUTSIDE = "comes in from the external network"
#: The first port of TCP from which we ask.
_FROM_PORT = 50000


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Packets to send."""

    kind: str  #: of `packets.KINDS`
    place: Place
    to: str  #: what is asked, in words
    words: Mapping[str, Any]
    decides: bool = False  #: whether it is the packet that was asked for
    hop: Hop = Hop.RECEIVER_TAP  #: where it is told of if nothing looked out


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One place on the way where the packet must show."""

    hop: Hop
    place: Place
    link: str = ""  #: its name; empty for any that is no tap of an end
    wrap: str = ""  #: `tunnel` if the packet is in one there
    ways: tuple[str, ...] = ("in", "out")  #: as the request has them there
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is sent, and where it is looked out for."""

    probes: tuple[Probe, ...] = ()
    stations: tuple[Station, ...] = ()  #: in the order in which the request comes by
    not_sent: str = ""  #: why nothing is sent; empty if something is
    words: Mapping[str, Any] = field(default_factory=dict)  #: by which the packet is known again


def plan_probes(found: Diagnosis, number: int) -> Plan:
    """Return what is to be sent for a question.

    Args:
        found: what the rows say, with the way.
        number: at random; packets and their ports are marked with it.
    """
    legs = found.legs[0]
    sender, packet = legs[0].sender, legs[0].packet
    target = legs[0].course.translated if legs[0].course.kind is Kind.IN else packet.target
    if sender.is_port and not packet.source:
        return Plan(not_sent=f"{sender.label} has no address of IPv{packet.family}")
    if target in ("", somewhere(packet.family)):
        return Plan(not_sent="nothing outside has that address: name one that answers")
    place = place_of(sender)
    if place is None:
        return Plan(not_sent="nothing is known of where the sender is")
    common: dict[str, Any] = {
        "target": target,
        "source": packet.source if sender.is_port else "",
        "token": f"{number % 1_000_000:06d}",
        "limit_s": LIMIT_S,
    }
    service = found.service
    if service.protocol in ("tcp", "udp"):
        common["source_port"] = _FROM_PORT + number % 10_000
        common["port"] = service.port
    probes = tuple(_probes(found, place, common))
    main = [one for one in probes if one.decides]
    if not main:
        return Plan(not_sent=f"no probe sends {service}")
    return Plan(probes=probes, stations=tuple(_stations(found)), words=common)


def place_of(end: End) -> Place | None:
    """Return where an end is; None where nobody knows, or where it is a router."""
    if end.kind is EndKind.PORT:
        return Place("guest", end.id, f"{end.port.get('name') or end.address}")
    if end.kind is EndKind.OUTSIDE and end.site:
        return Place("outside", end.site, f"outside of {end.site}")
    return None


def _probes(found: Diagnosis, place: Place, common: Mapping[str, Any]) -> Iterator[Probe]:
    legs, protocol, target = found.legs[0], found.service.protocol, common["target"]
    sender = legs[0].sender
    where = str(found.service) if protocol != "icmp" else "ping"
    kind = "ping" if protocol == "icmp" else protocol
    if kind in ("ping", "tcp", "udp"):
        yield Probe(kind=kind, place=place, to=f"{where} {target}", words=common, decides=True)
    # Marked otherwise: who looks out counts the packet that was asked for, and no other.
    ping = {key: value for key, value in common.items() if "port" not in key}
    ping["token"] = f"x{common['token']}"
    if kind != "ping":
        yield Probe(kind="ping", place=place, to=f"ping {target}", words=ping)
    mtu = _mtu(found)
    if mtu:
        words = {**ping, "size": mtu}
        yield Probe(kind="ping", place=place, to=f"ping {target}, {mtu} bytes in one piece",
                    words=words, hop=Hop.TUNNEL)  # fmt: skip
    if not sender.is_port or legs[0].packet.family != 4:
        return
    passages = legs[0].course.passages
    hop = passages[0].enters if passages else None
    near = next((one["ip_address"] for one in (hop or {}).get("fixed_ips") or ()
                 if ":" not in one["ip_address"]), "")  # fmt: skip
    near = near if legs[0].course.needs_router else target
    if near:
        words = {**ping, "target": near}
        yield Probe(kind="arp", place=place, to=f"ARP for {near}", words=words, hop=Hop.SENDER_TAP)
    if _has_dhcp(found, sender):
        words = {**ping, "target": target}
        yield Probe(kind="dhcp", place=place, to="DHCPDISCOVER", words=words, hop=Hop.SENDER_TAP)
    words = {**ping, "target": METADATA}
    yield Probe(kind="metadata", place=place, to=f"metadata at {METADATA}", words=words,
                hop=Hop.SENDER_TAP)  # fmt: skip


def _has_dhcp(found: Diagnosis, end: End) -> bool:
    ids = {one.get("subnet_id") for one in end.port.get("fixed_ips") or ()}
    rows = found.world.rows(Source.CENTRAL, CENTRAL, "subnet")
    mine = [one for one in rows if one["id"] in ids and one.get("ip_version") == 4]
    return any(one.get("enable_dhcp") for one in mine)


def _mtu(found: Diagnosis) -> int:
    """Return what the networks on the way promise to carry; 0 where that is not known."""
    ends = [one for leg in found.legs[0] for one in (leg.sender, leg.receiver) if one.network_id]
    ids = {one.network_id for one in ends}
    rows = found.world.rows(Source.CENTRAL, CENTRAL, "network")
    known = [int(one["mtu"]) for one in rows if one["id"] in ids and one.get("mtu")]
    return min(known, default=0)


def _stations(found: Diagnosis) -> Iterator[Station]:
    """List where the request comes by, in order."""
    known: set[tuple[str, str, str]] = set()
    for number, leg in enumerate(found.legs[0]):
        for station in _of_leg(found, leg, is_first=number == 0):
            key = (station.place.name, station.link, station.wrap + "".join(station.ways))
            if key not in known:
                known.add(key)
                yield station


def find_vlan(found: Diagnosis, leg: Way) -> tuple[str, object] | None:
    """Return the physical network and the VLAN by which a leg goes; None where it is tunnelled."""
    places = []
    for end in (leg.sender, leg.receiver):
        if not found.world.has_table(Source.NB, end.site, "segment"):
            return None
        name = SWITCH_PREFIX + end.network_id
        row = found.world.find(Source.NB, end.site, "segment", switch=name)
        options = (row or {}).get("options") or {}
        places.append((str(options.get("network_name")), first((row or {}).get("tag"))))
        if row is None:
            return None
    return places[0] if places[0] == places[1] else None


def _of_leg(found: Diagnosis, leg: Way, *, is_first: bool) -> Iterator[Station]:
    one, other = leg.sender, leg.receiver
    if is_first and one.kind is not EndKind.ROUTER and (place := place_of(one)):
        yield Station(hop=Hop.SENDER_TAP, place=place, ways=("out",), label="leaves the sender")
    if one.is_port and one.host:
        yield _tap(one, Hop.SENDER_TAP)
    if not one.is_port and one.host and leg.course.kind is Kind.IN and not leg.course.turns:
        yield _fabric(one, Hop.ENTRY, ("in",))
    if one.host and other.host and one.host != other.host:
        wire = _wire if find_vlan(found, leg) else _tunnel
        yield wire(one, "out")
        yield wire(other, "in")
    if not other.is_port and other.host and leg.course.kind is Kind.OUT and not leg.course.turns:
        yield _fabric(other, Hop.EXIT, ("out",))
    if other.is_port and other.host:
        yield _tap(other, Hop.RECEIVER_TAP)
    if other.is_port and (place := place_of(other)):
        yield Station(hop=Hop.RECEIVER_TAP, place=place, ways=("in",), label="reaches the receiver")


def _tap(end: End, hop: Hop) -> Station:
    link = f"tap{end.id[:11]}"  # as Nova calls it
    return Station(hop=hop, place=Place("hypervisor", end.host), link=link,
                   label=f"{link} on {end.host}")  # fmt: skip


def _tunnel(end: End, way: str) -> Station:
    said = "leaves in a tunnel from" if way == "out" else "comes in a tunnel to"
    return Station(hop=Hop.TUNNEL, place=Place("hypervisor", end.host), wrap="tunnel",
                   ways=(way,), label=f"{said} {end.host}")  # fmt: skip


def _wire(end: End, way: str) -> Station:
    said = f"{ON_WIRE} from" if way == "out" else "comes in on it to"
    return Station(hop=Hop.TUNNEL, place=Place("hypervisor", end.host), ways=(way,),
                   label=f"{said} {end.host}")  # fmt: skip


def _fabric(end: End, hop: Hop, ways: tuple[str, ...]) -> Station:
    said = f"{FROM_OUTSIDE} to" if "in" in ways else "leaves for outside from"
    return Station(hop=hop, place=Place("hypervisor", end.host), ways=ways,
                   label=f"{said} {end.host}")  # fmt: skip


def list_places(stations: Sequence[Station]) -> list[Place]:
    """List the places where somebody has to look out, each once."""
    bare = [replace(one.place, label="") for one in stations]
    return list(dict.fromkeys(bare))


def turn(direction: Direction, hop: Hop) -> Hop:
    """Return the hop as a way has it: the sender's end there is the receiver's on the way back."""
    if direction is Direction.THERE:
        return hop
    other = {Hop.SENDER_TAP: Hop.RECEIVER_TAP, Hop.RECEIVER_TAP: Hop.SENDER_TAP,
             Hop.EXIT: Hop.ENTRY, Hop.ENTRY: Hop.EXIT}  # fmt: skip
    return other.get(hop, hop)
