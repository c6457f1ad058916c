"""What packets that were sent say to what rows say: the verdict of both together. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from isthmus.diagnose.check.look import Hop, broken, degraded, first
from isthmus.diagnose.judge import Blocker, Diagnosis, State, Step, Word
from isthmus.diagnose.probe.plan import FROM_OUTSIDE, ON_WIRE, find_vlan, turn
from isthmus.diagnose.probe.run import Outcome, Result, Sighting
from isthmus.diagnose.question import Direction
from isthmus.diagnose.route.fabric import Fabric
from isthmus.diagnose.world import Source
from isthmus.model.verdict import Severity, Subject, Verdict


def weigh(found: Diagnosis, outcome: Outcome) -> Diagnosis:
    """Return the diagnosis with what the packets add to it.

    A packet that is answered passes, whatever rows say of it. One that is not answered is a finding
    of its own only where nothing that was read explains it.
    """
    main = next((one for one in outcome.results if one.probe.decides), None)
    if main is None or main.state == "failed":
        return found
    extra = [one for one in (_of_mtu(found, outcome), _of_dhcp(found, outcome)) if one]
    if main.state == "answered":
        return _answered(found, main, extra)
    explained = any(one.verdict.severity is Severity.BROKEN for one in found.blockers)
    if not explained:
        extra.insert(0, _unanswered(found, main, outcome.sightings))
    blockers = (*found.blockers, *extra)
    ranked = sorted(blockers, key=lambda one: list(Severity).index(one.verdict.severity))
    return _with(found, ranked, Word.BLOCKED)


def _answered(found: Diagnosis, main: Result, extra: list[Blocker]) -> Diagnosis:
    if found.word is Word.BLOCKED:
        cause = found.blockers[0].verdict
        seen = degraded(
            "probe.answered",
            Subject(main.probe.words["target"], "address"),
            f"a packet passes though rows say that {cause.code} stops it: a hypervisor has older "
            "flows, or what was read has changed meanwhile",
            _evidence(main),
            "ask again; if it stays: on each hypervisor of the path: ovn-appctl -t ovn-controller "
            "inc-engine/recompute",
        )
        extra.insert(0, Blocker(seen, ((Direction.THERE, Hop.TUNNEL),)))
    blockers = [*(one for one in found.blockers if not one.behind), *extra]
    return _with(found, blockers, Word.DEGRADED if blockers else Word.REACHABLE)


#: Which way a packet goes, and a station on it.
At = tuple[Direction, Sighting]


def find_last(sightings: Sequence[Sighting]) -> tuple[At, At | None] | None:
    """Find where a packet was seen last, and where it should have come next and did not.

    The way goes there with the request and back with the reply. None where it was seen nowhere.
    """
    way = [(Direction.THERE, one, one.requests) for one in sightings]
    way += [(Direction.BACK, one, one.replies) for one in reversed(sightings)]
    last = max((at for at, (_, _, count) in enumerate(way) if count), default=None)
    if last is None:
        return None
    after = ((direction, one) for direction, one, count in way[last + 1 :] if count is not None)
    return way[last][:2], next(after, None)


def describe_last(sightings: Sequence[Sighting]) -> str:
    """Return in words where a packet was seen last; empty where nobody looked out."""
    if not any(one.requests is not None for one in sightings):
        return ""
    found = find_last(sightings)
    if found is None:
        return "the packet was seen nowhere"
    last, after = found
    what = "the packet" if last[0] is Direction.THERE else "the reply"
    where = f"{what} was last seen where it {_words(last)}"
    if after is None:
        return where
    reply = "the reply" if after[0] is not last[0] else "it"
    return f"{where}, and not where {reply} {_words(after)}"


def _words(at: At) -> str:
    direction, one = at
    label = one.station.label
    if direction is Direction.BACK:
        for there, back in (
            ("leaves the sender", "comes back to the sender"),
            ("reaches the receiver", "leaves the receiver"),
            ("leaves in a tunnel from", "comes in a tunnel to"),
            ("comes in a tunnel to", "leaves in a tunnel from"),
            ("leaves on the physical network from", "comes back on it to"),
            ("comes in on it to", "leaves on the physical network from"),
            ("comes in from the external network to", "leaves for outside from"),
            ("leaves for outside from", "comes in from the external network to"),
        ):
            if label.startswith(there):
                return label.replace(there, back, 1)
    return label if " " in label and not label.startswith("tap") else f"passes {label}"


def _unanswered(found: Diagnosis, main: Result, sightings: Sequence[Sighting]) -> Blocker:
    target = str(main.probe.words["target"])
    subject = Subject(target, "address", found.legs[0][-1].receiver.site)
    last = find_last(sightings)
    delivered = last is not None and (
        last[0][0] is Direction.THERE
        and last[0][1].station.place.kind == "guest"
        and last[0][1].station.hop is Hop.RECEIVER_TAP
    )
    if main.state == "refused":
        verdict = broken(
            "guest.refuses",
            subject,
            f"{target} refuses {found.service}: packets arrive, and nothing listens there",
            _evidence(main, sightings),
            _in_the_guest(found),
        )
        return Blocker(verdict, ((Direction.THERE, Hop.RECEIVER_TAP),))
    if delivered:
        verdict = broken(
            "guest.silent",
            subject,
            f"{target} does not answer {found.service}, though the packet arrives in it: a "
            "firewall in the guest, or nothing that answers",
            _evidence(main, sightings),
            _in_the_guest(found),
        )
        return Blocker(verdict, ((Direction.THERE, Hop.RECEIVER_TAP),))
    if last is not None and (upstream := _of_upstream(found, last[0], main, sightings)):
        return upstream
    if last is not None and last[1] is not None and last[0][1].station.label.startswith(ON_WIRE):
        return _of_switch(found, last[0], _evidence(main, sightings))
    verdict = broken(
        "probe.silent",
        subject,
        f"nothing answers {main.probe.to}, and nothing that was read explains it",
        _evidence(main, sightings),
        _where_it_was_lost(last),
    )
    at = (Direction.THERE, main.probe.hop)
    if last is not None:
        direction, lost = last[1] or last[0]
        at = (direction, turn(direction, lost.station.hop))
    return Blocker(verdict, (at,))


def _of_upstream(
    found: Diagnosis, last: At, main: Result, sightings: Sequence[Sighting]
) -> Blocker | None:
    """Return that packets from outside are sent to a MAC address that is not the gateway's."""
    direction, seen = last
    leg = found.legs[0][-1]
    site = leg.sender.site
    if direction is not Direction.THERE or not seen.station.label.startswith(FROM_OUTSIDE):
        return None
    gateway = Fabric(found.world).gateway_at(leg.course.router_id, site) or {}
    address = leg.course.translated
    wanted = {str(gateway.get("mac_address") or "").lower()} | {
        str(first(row.get("external_mac")) or "").lower()
        for row in found.world.list(Source.NB, site, "NAT", external_ip=address)
    }
    wanted -= {""}
    if not wanted or not seen.macs or wanted & {*seen.macs}:
        return None
    verdict = broken(
        "probe.upstream_mac",
        Subject(address, "address", site),
        f"packets for {address} come from outside to {', '.join(seen.macs)}, and the gateway has "
        f"{', '.join(sorted(wanted))}: a router upstream keeps an old MAC address",
        _evidence(main, sightings),
        f"on the router upstream: clear its ARP entry of {address}",
    )
    return Blocker(verdict, ((direction, turn(direction, Hop.ENTRY)),))


def _of_switch(found: Diagnosis, last: At, evidence: str) -> Blocker:
    """Tell of a VLAN that the switches between two hypervisors do not carry."""
    direction, lost = last
    leg = found.legs[0][0]
    physical, tag = find_vlan(found, leg) or ("", None)
    vlan = f"VLAN {tag}" if tag else "what has no VLAN"
    verdict = broken(
        "probe.vlan",
        Subject(leg.sender.network_id, "network", leg.sender.site),
        f"{vlan} of physical network {physical} leaves {lost.station.place.name} and does not come "
        "to the other hypervisor: a switch between them does not carry it",
        evidence,
        f"on the switch: allow {vlan} on the ports of {leg.sender.host} and {leg.receiver.host}",
    )
    return Blocker(verdict, ((direction, turn(direction, Hop.TUNNEL)),))


def _in_the_guest(found: Diagnosis) -> str:
    service = found.service
    if service.protocol == "icmp":
        return "in the guest: let it answer echo requests"
    option = {"tcp": "-ltn", "udp": "-lun"}.get(service.protocol, "-ln")
    return f"in the guest: ss {option} 'sport = :{service.port}'; see its firewall"


def _where_it_was_lost(last: tuple[At, At | None] | None) -> str:
    if last is None:
        return "isthmus why ... --probe --capture   # tells where the packet is seen last"
    _, lost = last[1] or last[0]
    host = lost.station.place.name
    if lost.station.wrap:
        return f"see the network between hypervisors: UDP port 6081 to {host}"
    if lost.station.place.kind == "hypervisor":
        return f"on {host}: ovn-appctl -t ovn-controller inc-engine/recompute"
    return "see the interface of the guest, and its firewall"


def _of_mtu(found: Diagnosis, outcome: Outcome) -> Blocker | None:
    """Return that small packets pass and large ones do not, which no row of ours tells."""
    small = any(
        one.state == "answered" and one.probe.kind == "ping" and "size" not in one.probe.words
        for one in outcome.results
    )
    large = next((one for one in outcome.results if "size" in one.probe.words), None)
    told = {"mtu.too_large", "mtu.sites_differ", "mtu.networks_differ", "mtu.gateway"}
    known = told & {one.verdict.code for one in found.blockers}
    if not small or large is None or large.state not in ("silent", "too large") or known:
        return None
    size = large.probe.words["size"]
    verdict = degraded(
        "probe.mtu",
        Subject(large.probe.words["target"], "address"),
        f"packets of {size} bytes, which the network promises to carry, do not pass in one piece, "
        "and small ones do",
        _evidence(large, outcome.sightings),
        f"see the MTU of the guest's interface and of the links between hypervisors: {size + 58} "
        "bytes are needed there",
    )
    return Blocker(verdict, ((Direction.THERE, Hop.TUNNEL),))


def _of_dhcp(found: Diagnosis, outcome: Outcome) -> Blocker | None:
    one = next((one for one in outcome.results if one.probe.kind == "dhcp"), None)
    known = {"dhcp.no_options", "host.vswitchd_dead", "host.controller_dead"}
    if one is not None and one.state == "twice":
        return _of_two_servers(found, one)
    if one is None or one.state != "silent":
        return None
    if known & {blocker.verdict.code for blocker in found.blockers}:
        return None
    end = found.legs[0][0].sender
    verdict = degraded(
        "probe.dhcp",
        Subject(end.id, "port", end.site),
        f"port {end.label} gets no DHCP offer, though its subnet says that it does",
        _evidence(one),
        f"see ovn-controller on {end.host}: it answers DHCP itself",
    )
    return Blocker(verdict, ((Direction.THERE, Hop.SENDER_TAP),))


def _of_two_servers(found: Diagnosis, one: Result) -> Blocker:
    end = found.legs[0][0].sender
    verdict = degraded(
        "probe.dhcp_twice",
        Subject(end.network_id, "network", end.site),
        f"two DHCP servers answer port {end.label}: a guest takes the offer that comes first, and "
        "may get a foreign address, gateway or name server",
        _evidence(one),
        "see who has the address that is not the subnet's gateway, or that the port does not have; "
        "port security keeps servers of others from it",
    )
    return Blocker(verdict, ((Direction.THERE, Hop.SENDER_TAP),))


def _evidence(one: Result, sightings: Sequence[Sighting] = ()) -> str:
    place = one.probe.place.label or one.probe.place.name
    last = describe_last(sightings)
    return f"{one.probe.to} from {place}: {one.said}{f'; {last}' if last else ''}"


def _with(found: Diagnosis, blockers: Sequence[Blocker], word: Word) -> Diagnosis:
    verdicts: tuple[Verdict, ...] = tuple(one.verdict for one in blockers)
    report = replace(found.report, findings=verdicts)
    path = tuple(_mark(step, blockers) for step in found.path)
    return replace(found, word=word, blockers=tuple(blockers), report=report, path=path)


def _mark(step: Step, blockers: Sequence[Blocker]) -> Step:
    """Return a hop of the path with what packets have told of it."""
    at = (step.direction, step.hop)
    told = [
        one.verdict for one in blockers if at in one.hops and one.verdict.code not in step.codes
    ]
    if not told:
        return step
    is_broken = any(one.severity is Severity.BROKEN for one in told)
    state = State.STOPS if is_broken or step.state is State.STOPS else State.HINDERS
    return replace(step, state=state, codes=(*step.codes, *(one.code for one in told)))
