"""What a hypervisor counts: packets with wrong checksums, lost upcalls, dropped connections."""

from collections.abc import Iterator, Mapping

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    across_hosts,
    at_a_port,
    degraded,
    on_a_host,
    port_of,
    verdict,
)
from isthmus.diagnose.question import Packet
from isthmus.diagnose.world import Row, Source
from isthmus.model.verdict import Severity, Subject, Verdict

_HOST = (Need.SENDER_HOST,)
#: Fewer than so many are of no account, nor a smaller share than a hundredth.
_LEAST, _SHARE = 100, 100
#: Changes of state of a tunnel's BFD that are many.
_FLAPS = 10


def _counters(look: Look) -> Mapping[str, int]:
    rows = look.world.rows(Source.HOST, look.sender.host, "counter")
    return {str(row["name"]): int(row.get("value") or 0) for row in rows}


def _host(look: Look) -> Subject:
    return Subject(look.sender.host, "hypervisor", look.sender.site)


def _many(some: int, of: int) -> bool:
    return some >= _LEAST and some * _SHARE >= of


def check_checksums(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor that throws datagrams away since their checksums are wrong."""
    host, counts = look.sender.host, _counters(look)
    wrong, came = counts.get("checksum-errors", 0), counts.get("datagrams", 0)
    if _many(wrong, came + wrong):
        yield degraded(
            "host.checksums",
            _host(look),
            f"hypervisor {host} has thrown away {wrong} datagrams with a wrong checksum ({came} "
            "were right): a NIC leaves out those of packets in tunnels, and pings pass while "
            "connections hang",
            look.evidence(Source.HOST, host, f"/proc/net/snmp Udp InCsumErrors={wrong}"),
            f"on the hypervisors that {host} has tunnels to: ethtool -K NIC tx-checksum-ip-generic "
            "off",
        )


def check_upcalls(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose Open vSwitch comes not after with new connections."""
    host, counts = look.sender.host, _counters(look)
    lost, missed = counts.get("upcalls-lost", 0), counts.get("upcalls-missed", 0)
    if _many(lost, missed):
        yield degraded(
            "host.upcalls_lost",
            _host(look),
            f"Open vSwitch on {host} has lost the first packets of {lost} flows of {missed}: it "
            "has too little CPU for the new connections that come",
            look.evidence(Source.HOST, host, f"dpctl/show: missed:{missed} lost:{lost}"),
            f"on {host}: ovs-appctl upcall/show; see what takes its CPU, and who opens connections",
        )


def _is_of(row: Row, packet: Packet) -> bool:
    return (
        (row.get("source"), row.get("target")) == (packet.source, packet.target)
        and row.get("protocol") == packet.protocol
        and packet.target_port in (None, row.get("target_port"))
    )


def check_tracked(look: Look) -> Iterator[Verdict]:
    """Yield a connection that was forbidden once, and is dropped still."""
    host, request = look.sender.host, look.there.packet
    for row in look.world.rows(Source.HOST, host, "tracked"):
        if row.get("port") == look.sender.id and _is_of(row, request):
            yield degraded(
                "conntrack.marked",
                port_of(look.sender),
                f"a connection {request} of port {look.sender.label} is marked on {host}: rules "
                "forbade it once, and its packets are dropped until the entry goes",
                look.evidence(
                    Source.HOST, host,
                    f"conntrack {row.get('protocol')} {row.get('source')} -> {row.get('target')} "
                    "mark=1",
                ),
                f"on {host}: conntrack -D -s {request.source} -d {request.target}",
            )  # fmt: skip
            return


def check_tunnel_state(look: Look) -> Iterator[Verdict]:
    """Yield a tunnel whose BFD is down, or goes up and down."""
    host, end = look.sender.host, look.receiver
    chassis = look.chassis_of(end) or {}
    ips = {str(one.get("ip")) for one in look.encaps(end.site, str(chassis.get("name")))}
    for row in look.world.rows(Source.HOST, host, "Interface"):
        said: Mapping[str, str] = row.get("bfd_status") or {}
        if (row.get("options") or {}).get("remote_ip") not in ips or not said.get("state"):
            continue
        flaps = str(said.get("flap_count") or "0")
        seen = look.evidence(
            Source.HOST,
            host,
            f"Interface {row.get('name')} bfd state={said['state']} flaps={flaps}",
        )
        watch = (
            f"see the links between {host} and {end.host}; on {host}: ovs-appctl bfd/show "
            f"{row.get('name')}"
        )
        if said["state"] == "down":
            yield degraded(
                "bfd.down",
                _host(look),
                f"BFD over the tunnel from {host} to {end.host} is down: gateways take each other "
                "for dead",
                seen,
                watch,
            )
        elif flaps.isdecimal() and len(flaps) < 19 and int(flaps) >= _FLAPS:
            yield verdict(
                "bfd.flapping",
                Severity.ADVICE,
                _host(look),
                f"BFD over the tunnel from {host} to {end.host} has gone up and down {flaps} "
                "times: each time gateways may move, and packets are lost",
                seen,
                watch,
            )


CHECKS = (
    Check(name="checksums", hop=Hop.TUNNEL, run=check_checksums, skips=across_hosts, needs=_HOST,
          vital=False),
    Check(name="BFD of the tunnel", hop=Hop.TUNNEL, run=check_tunnel_state, skips=across_hosts,
          needs=(*_HOST, Need.RECEIVER_SB), vital=False),
    Check(name="upcalls", hop=Hop.SENDER_TAP, run=check_upcalls, skips=on_a_host, needs=_HOST,
          vital=False),
    Check(name="marked connections", hop=Hop.SENDER_TAP, run=check_tracked, needs=_HOST,
          vital=False, skips=lambda look: at_a_port(look) or on_a_host(look)),
)  # fmt: skip
