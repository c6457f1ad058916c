"""What packets that were sent add to what rows say; where a packet was seen last."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.tables.routed_world import GATEWAY, ask_routed, routed
from tests.tables.world import NET, A, B, Tables, ask, healthy

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.document import to_document
from isthmus.diagnose.judge import Diagnosis, State, Word
from isthmus.diagnose.probe import packets
from isthmus.diagnose.probe.outcome import describe_last, weigh
from isthmus.diagnose.probe.plan import FROM_OUTSIDE, Plan, plan_probes
from isthmus.diagnose.probe.run import Outcome, Result, Sighting
from isthmus.diagnose.question import Direction
from isthmus.diagnose.world import Source

#: How often the request and its reply are seen at each station of the healthy world's way.
STATIONS = (
    "leaves the sender", "tapport-a on h1", "leaves in a tunnel from h1",
    "comes in a tunnel to h2", "tapport-b on h2", "reaches the receiver",
)  # fmt: skip


def found(change: Callable[[Tables], object] = lambda _: None, service: str = "icmp") -> Diagnosis:
    tables = healthy()
    for place in ((Source.CENTRAL, "central"), (Source.NEUTRON, "s1"), (Source.NEUTRON, "s2")):
        (group,) = tables[place]["security_group"]
        for rule in group["security_group_rules"]:
            rule |= {"protocol": None, "port_range_min": None, "port_range_max": None}
    for site in ("s1", "s2"):
        for acl in tables[Source.NB, site]["ACL"]:
            acl["match"] = acl["match"].replace(" && tcp && tcp.dst == 443", "")
    change(tables)
    return ask(tables, service)


def shut(tables: Tables) -> None:
    for place in ((Source.NEUTRON, "s2"), (Source.CENTRAL, "central")):
        tables[place]["security_group"][0]["security_group_rules"] = []


def on_wire(tables: Tables) -> None:
    """Let the network be a VLAN of a physical network, at both sites."""
    for site in ("s1", "s2"):
        tables[Source.NB, site]["segment"] = [
            {"switch": f"neutron-{NET}", "name": "provnet", "tag": [7],
             "options": {"network_name": "fabric"}}
        ]  # fmt: skip


def from_upstream(*macs: str) -> Diagnosis:
    """Return what packets from outside say, that come to a MAC address and go no further."""
    diagnosis = ask_routed(routed(), "external", "fip", "icmp")
    plan = plan_probes(diagnosis, 1)
    at = [one.label.partition(" to ")[0] for one in plan.stations].index(FROM_OUTSIDE)
    sightings = [replace(one, macs=macs) for one in seen(plan, at + 1, 0)]
    return weigh(diagnosis, Outcome(came(plan, "silent"), tuple(sightings)))


def came(plan: Plan, main: str, **others: str) -> tuple[Result, ...]:
    """Say what came of each probe; of those that are not named, that they are answered."""
    states = {"size": "answered", "dhcp": "answered", **others}
    return tuple(
        Result(one, main if one.decides else
               states["size"] if "size" in one.words else states.get(one.kind, "answered"), "said")
        for one in plan.probes
    )  # fmt: skip


def seen(plan: Plan, requests: int, replies: int) -> tuple[Sighting, ...]:
    """Say that the first stations have seen requests, and the last ones replies."""
    count = len(plan.stations)
    return tuple(
        Sighting(one, 1 if at < requests else 0, 1 if count - at <= replies else 0)
        for at, one in enumerate(plan.stations)
    )


def test_what_is_sent_and_where_it_is_looked_out_for() -> None:
    plan = plan_probes(found(service="tcp/443"), 77)
    assert [(one.kind, one.to, one.decides) for one in plan.probes] == [
        ("tcp", "tcp/443 10.0.0.6", True),
        ("ping", "ping 10.0.0.6", False),
        ("ping", "ping 10.0.0.6, 1442 bytes in one piece", False),
        ("arp", "ARP for 10.0.0.6", False),
        ("dhcp", "DHCPDISCOVER", False),
        ("metadata", "metadata at 169.254.169.254", False),
    ]
    assert tuple(one.label for one in plan.stations) == STATIONS
    assert plan.words["source_port"] == 50077
    assert plan.probes[0].words["source"] == "10.0.0.5"
    # Who looks out counts the packet that was asked for alone.
    assert plan.probes[0].words["token"] == plan.words["token"]
    assert plan.words["token"] not in {one.words["token"] for one in plan.probes[1:]}


def test_nothing_is_sent_where_no_address_is() -> None:
    diagnosis = found(lambda tables: tables[Source.NEUTRON, "s1"]["port"][0].update(fixed_ips=[]))
    assert "has no address" in plan_probes(diagnosis, 1).not_sent


@pytest.mark.parametrize("state", ["silent", "unreachable"])
def test_no_answer_that_nothing_explains_is_a_finding(state: str) -> None:
    diagnosis = found()
    assert diagnosis.word is Word.REACHABLE, diagnosis.blockers
    plan = plan_probes(diagnosis, 1)
    said = weigh(diagnosis, Outcome(came(plan, state)))
    assert (said.word, said.blockers[0].verdict.code) == (Word.BLOCKED, "probe.silent")
    assert "--capture" in said.blockers[0].verdict.remedy


@pytest.mark.parametrize(
    ("requests", "replies", "code", "at", "words"),
    [
        (0, 0, "probe.silent", (Direction.THERE, Hop.RECEIVER_TAP), "seen nowhere"),
        (1, 0, "probe.silent", (Direction.THERE, Hop.SENDER_TAP),
         "last seen where it leaves the sender, and not where it passes tapport-a on h1"),
        (3, 0, "probe.silent", (Direction.THERE, Hop.TUNNEL),
         "leaves in a tunnel from h1, and not where it comes in a tunnel to h2"),
        (6, 0, "guest.silent", (Direction.THERE, Hop.RECEIVER_TAP),
         "reaches the receiver, and not where the reply leaves the receiver"),
        (6, 2, "probe.silent", (Direction.BACK, Hop.TUNNEL),
         "the reply was last seen where it passes tapport-b on h2, and not where it leaves in a "
         "tunnel from h2"),
        (6, 5, "probe.silent", (Direction.BACK, Hop.RECEIVER_TAP),
         "passes tapport-a on h1, and not where it comes back to the sender"),
    ],
)  # fmt: skip
def test_where_a_packet_is_lost(
    requests: int, replies: int, code: str, at: tuple[Direction, Hop], words: str
) -> None:
    diagnosis = found()
    plan = plan_probes(diagnosis, 1)
    outcome = Outcome(came(plan, "silent"), seen(plan, requests, replies))
    said = weigh(diagnosis, outcome)
    assert said.blockers[0].verdict.code == code
    assert said.blockers[0].hops == (at,)
    assert words in describe_last(outcome.sightings)
    assert words in said.blockers[0].verdict.evidence
    (step,) = (one for one in said.path if (one.direction, one.hop) == at)
    assert (step.state, step.codes) == (State.STOPS, (code,))
    assert to_document(said, "", outcome)["last_seen"] == describe_last(outcome.sightings)


def test_a_station_that_nobody_could_watch_is_no_loss() -> None:
    plan = plan_probes(found(), 1)
    rows = list(seen(plan, 3, 0))
    rows[3] = replace(rows[3], requests=None, replies=None)
    assert "not where it passes tapport-b on h2" in describe_last(rows)
    assert describe_last([replace(one, requests=None, replies=None) for one in rows]) == ""


def test_what_explains_silence_stays_the_cause() -> None:
    diagnosis = found(shut)
    cause = diagnosis.blockers[0].verdict.code
    said = weigh(diagnosis, Outcome(came(plan_probes(diagnosis, 1), "silent")))
    assert said.blockers[0].verdict.code == cause
    assert "probe.silent" not in [one.verdict.code for one in said.blockers]


def test_a_packet_that_passes_is_believed() -> None:
    diagnosis = found(shut)
    assert diagnosis.word is Word.BLOCKED
    said = weigh(diagnosis, Outcome(came(plan_probes(diagnosis, 1), "answered")))
    assert said.word is Word.DEGRADED
    assert "probe.answered" in [one.verdict.code for one in said.blockers]
    healthy_one = found()
    same = weigh(healthy_one, Outcome(came(plan_probes(healthy_one, 1), "answered")))
    assert (same.word, same.blockers) == (Word.REACHABLE, ())


def test_what_could_not_be_sent_changes_nothing() -> None:
    diagnosis = found()
    assert weigh(diagnosis, Outcome(came(plan_probes(diagnosis, 1), "failed"))) is diagnosis
    assert weigh(diagnosis, Outcome(not_sent="no way in")) is diagnosis


@pytest.mark.parametrize(
    ("service", "state", "others", "code", "word"),
    [
        ("tcp/443", "refused", {}, "guest.refuses", Word.BLOCKED),
        ("icmp", "answered", {"size": "silent"}, "probe.mtu", Word.DEGRADED),
        ("icmp", "answered", {"size": "too large"}, "probe.mtu", Word.DEGRADED),
        ("icmp", "answered", {"dhcp": "silent"}, "probe.dhcp", Word.DEGRADED),
        ("icmp", "answered", {"dhcp": "twice"}, "probe.dhcp_twice", Word.DEGRADED),
    ],
)
def test_what_packets_tell_besides(
    service: str, state: str, others: dict[str, str], code: str, word: Word
) -> None:
    diagnosis = found(service=service)
    said = weigh(diagnosis, Outcome(came(plan_probes(diagnosis, 1), state, **others)))
    assert ([one.verdict.code for one in said.blockers], said.word) == ([code], word)


TOKEN = b"isthmus-000077"


def ethernet(payload: bytes, kind: bytes = b"\x08\x00") -> bytes:
    return b"\0" * 12 + kind + payload


def ipv4(protocol: int, data: bytes) -> bytes:
    return bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol]) + b"\0" * 10 + data


def echo(kind: int) -> bytes:
    return ethernet(ipv4(1, bytes([kind]) + b"\0" * 7 + TOKEN))


def offer(address: bytes, options: bytes) -> bytes:
    body = bytes([2, 1, 6, 0]) + b"numb" + b"\0" * 8 + address + b"\0" * 216
    return ethernet(ipv4(17, b"\0" * 8 + body + b"\x63\x82\x53\x63" + options))


@pytest.mark.parametrize(
    ("options", "server"),
    [
        (b"\x35\x01\x02\x36\x04\x0a\x00\x00\x01\xff", "10.0.0.1"),
        (b"\x00\x00\x36\x04\x0a\x00\x00\x02", "10.0.0.2"),
        (b"\x35\x01\x02\xff\x36\x04\x0a\x00\x00\x01", "nobody"),
        (b"\x36\x04\x0a", "nobody"),
        (b"\x36", "nobody"),
    ],
)
def test_an_offer_is_read(options: bytes, server: str) -> None:
    frame = offer(b"\x0a\x00\x00\x07", options)
    assert packets.read_offer(frame, b"numb") == "10.0.0.7"
    assert packets.read_offer(frame, b"else") == ""
    assert packets.read_server(frame) == server


def geneve(frame: bytes, options: int) -> bytes:
    head = (1000).to_bytes(2, "big") + (6081).to_bytes(2, "big") + b"\0" * 4
    return ethernet(ipv4(17, head + bytes([options]) + b"\0" * (7 + 4 * options) + frame))


def tcp(source: int, target: int) -> bytes:
    ports = source.to_bytes(2, "big") + target.to_bytes(2, "big")
    return ethernet(ipv4(6, ports + b"\0" * 16))


@pytest.mark.parametrize(
    ("frame", "known"),
    [
        (echo(8), ("", "request")),
        (echo(0), ("", "reply")),
        (geneve(echo(8), 0), ("tunnel", "request")),
        (geneve(echo(0), 2), ("tunnel", "reply")),
        (tcp(50077, 443), ("", "request")),
        (geneve(tcp(443, 50077), 1), ("tunnel", "reply")),
        (tcp(50078, 443), None),
        (echo(8).replace(b"000077", b"000078"), None),
        (b"\0" * 12 + b"\x81\x00\0\x05\x08\x00" + ipv4(1, b"\x08" + b"\0" * 7 + TOKEN),
         ("", "request")),
        (ethernet(b"\x60" + b"\0" * 5 + b"\x3a" + b"\0" * 33 + b"\x81" + b"\0" * 7 + TOKEN,
                  b"\x86\xdd"), ("", "reply")),
        (ethernet(ipv4(1, b"\x03" + b"\0" * 7 + ipv4(1, b"\x08" + b"\0" * 7 + TOKEN))),
         ("", "error")),
        (b"", None),
        (b"\xff" * 20, None),
    ],
)  # fmt: skip
def test_a_frame_of_ours_is_recognised(frame: bytes, known: Any) -> None:
    assert packets.recognise(frame, TOKEN, {50077}) == known


@pytest.mark.parametrize("length", range(0, 120, 7))
def test_a_frame_that_is_cut_off_is_no_error(length: int) -> None:
    packets.recognise(geneve(echo(8), 2)[:length], TOKEN, {50077})


def test_the_checksum_is_that_of_the_rfc() -> None:
    # RFC 1071, 3: the sum of these octets is ddf2.
    assert packets.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF


def test_both_ends_are_named() -> None:
    places = {one.place.name for one in plan_probes(found(), 1).stations}
    assert places == {A, B, "h1", "h2"}


@pytest.mark.parametrize(("requests", "code"), [(3, "probe.vlan"), (4, "probe.silent"),
                                                (2, "probe.silent")])  # fmt: skip
def test_a_vlan_is_lost_between_hypervisors(requests: int, code: str) -> None:
    diagnosis = found(on_wire)
    plan = plan_probes(diagnosis, 1)
    labels = [one.label for one in plan.stations]
    assert labels[2:4] == ["leaves on the physical network from h1", "comes in on it to h2"]
    told = weigh(diagnosis, Outcome(came(plan, "silent"), seen(plan, requests, 0)))
    assert [one.verdict.code for one in told.blockers] == [code]
    if code == "probe.vlan":
        assert "VLAN 7 of physical network fabric leaves h1" in told.blockers[0].verdict.message


def test_a_router_upstream_sends_to_a_mac_address_that_is_old() -> None:
    told = from_upstream("fa:16:3e:00:00:77").blockers
    assert [one.verdict.code for one in told] == ["probe.upstream_mac"]
    assert "fa:16:3e:00:00:77" in told[0].verdict.message
    for macs in ((GATEWAY["mac_address"],), ()):
        told = from_upstream(*macs).blockers
        assert [one.verdict.code for one in told] == ["probe.silent"]
