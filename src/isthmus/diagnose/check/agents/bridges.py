"""Bridges, routers and flows that agents of ML2/OVS have on a hypervisor.

The lab runs no such agent: what these tell is tested on rows as they are written by hand.
"""

from collections.abc import Iterator

from isthmus.diagnose.check.agents.alive import by_agents
from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    across_hosts,
    broken,
    degraded,
    first,
    on_a_host,
)
from isthmus.diagnose.check.routed.words import by_a_router, router_of, routers_on
from isthmus.diagnose.world import Source
from isthmus.model.verdict import Subject, Verdict

_HOST = (Need.SENDER_HOST,)
#: Reloads of keepalived in an hour that are many: each may cost a second of packets.
_RELOADS = 10


def check_lost_flows(look: Look) -> Iterator[Verdict]:
    """Yield a bridge of a physical network that was made anew, and has none of its flows."""
    host = look.sender.host
    for row in look.world.list(Source.HOST, host, "bridge_flow", mac=""):
        if int(row.get("count") or 0) == 0:
            yield broken(
                "bridge.no_flows",
                Subject(str(row.get("bridge")), "bridge", host),
                f"bridge {row.get('bridge')} on {host} has no flow of Neutron's agent: it was made "
                "anew, and VLANs are not translated there",
                look.evidence(
                    Source.HOST, host, f"ovs-ofctl dump-flows {row.get('bridge')}: NORMAL alone"
                ),
                f"on {host}: systemctl restart neutron-openvswitch-agent",
            )


def check_old_flows(look: Look) -> Iterator[Verdict]:
    """Yield a flow towards the receiver that leads out of an interface that is gone."""
    host, end = look.sender.host, look.receiver
    bridges = {str(row["name"]): row for row in look.world.rows(Source.HOST, host, "bridge")}
    for row in look.world.rows(Source.HOST, host, "bridge_flow"):
        held = bridges.get(str(row.get("bridge")))
        if held is None or row.get("mac") != end.mac_address or not end.mac_address:
            continue
        gone = sorted({*(row.get("outputs") or ())} - {*(held.get("ofports") or ())})
        if gone:
            numbers = ", ".join(map(str, gone))
            yield broken(
                "bridge.stale_flow",
                Subject(str(row["bridge"]), "bridge", host),
                f"a flow towards {end.mac_address} of port {end.label} on bridge {row['bridge']} "
                f"of {host} leads to interface {numbers}, which is gone",
                look.evidence(
                    Source.HOST, host,
                    f"ovs-ofctl dump-flows {row['bridge']} dl_dst={end.mac_address}: "
                    f"output:{numbers}",
                ),
                f"on {host}: ovs-ofctl del-flows {row['bridge']} dl_dst={end.mac_address}; "
                "systemctl restart neutron-openvswitch-agent",
            )  # fmt: skip


def check_neighbours(look: Look) -> Iterator[Verdict]:
    """Yield a router whose neighbour table has another MAC address for the receiver (DVR)."""
    host, end, routers = look.sender.host, look.receiver, routers_on(look)
    for row in look.world.list(Source.HOST, host, "neighbour", ip=look.way.packet.target):
        if row.get("router_id") in routers and end.is_port and row.get("mac") != end.mac_address:
            router_id = str(row["router_id"])
            yield broken(
                "router.stale_neighbour",
                Subject(router_id, "router", host),
                f"{router_of(look, router_id)} on {host} sends {row.get('ip')} to "
                f"{row.get('mac')}, and port {end.label} has {end.mac_address}",
                look.evidence(
                    Source.HOST, host,
                    f"ip -n qrouter-{router_id} neigh: {row.get('ip')} {row.get('mac')} PERMANENT",
                ),
                f"on {host}: systemctl restart neutron-l3-agent",
            )  # fmt: skip


def check_actives(look: Look) -> Iterator[Verdict]:
    """Yield a router that is active on several hypervisors at once (L3 agents, HA)."""
    site = look.sender.site
    for router_id in routers_on(look):
        rows = look.world.list(Source.NEUTRON, site, "router_agent", router_id=router_id)
        hosts = sorted(
            str(row.get("host")) for row in rows
            if row.get("ha_state") == "active" and row.get("alive") is not False
        )  # fmt: skip
        if len(hosts) > 1:
            yield broken(
                "router.two_active",
                Subject(router_id, "router", site),
                f"{router_of(look, router_id)} is active on {' and '.join(hosts)} at once: both "
                "answer for its addresses",
                look.evidence(Source.NEUTRON, site, f"ha_state=active on {', '.join(hosts)}"),
                f"see whether VRRP passes between them: on {hosts[0]}: ip netns exec "
                f"qrouter-{router_id} tcpdump -ni any vrrp; on {hosts[-1]}: systemctl restart "
                "neutron-l3-agent",
            )


def check_reloads(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose keepalived is told to read its files again all the time."""
    host = look.sender.host
    row = look.world.find(Source.HOST, host, "log", daemon="keepalived", what="reload") or {}
    count = int(row.get("count") or 0)
    if count >= _RELOADS and by_agents(look):
        yield degraded(
            "router.reloads",
            Subject(first([host]), "hypervisor", look.sender.site),
            f"keepalived on {host} was told to read its files anew {count} times in the last hour: "
            "each time routers there may lose packets for seconds",
            look.evidence(Source.HOST, host, f"log of keepalived: {row.get('last')}"),
            "put changes of floating IPs together; see who makes them: openstack event list",
        )


def _routed(look: Look) -> str:
    return by_a_router(look) or on_a_host(look)


CHECKS = (
    Check(name="flows of physical bridges", hop=Hop.SENDER_TAP, run=check_lost_flows,
          skips=on_a_host, needs=_HOST, vital=False),
    Check(name="flows to interfaces", hop=Hop.TUNNEL, run=check_old_flows, skips=across_hosts,
          needs=_HOST, vital=False),
    Check(name="neighbours of routers", hop=Hop.ROUTE, run=check_neighbours, skips=_routed,
          needs=_HOST, vital=False),
    Check(name="active routers", hop=Hop.ROUTE, run=check_actives, skips=by_a_router,
          needs=(Need.SENDER_NEUTRON,), vital=False),
    Check(name="reloads of keepalived", hop=Hop.SENDER_TAP, run=check_reloads, skips=on_a_host,
          needs=(*_HOST, Need.SENDER_NEUTRON), vital=False),
)  # fmt: skip
