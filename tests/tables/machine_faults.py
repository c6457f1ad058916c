"""What can be wrong with hypervisors, daemons and agents; those of ML2/OVS are written by hand."""

from typing import Any

from tests.tables.more_faults import MAC_B, MORE, Case
from tests.tables.routed_faults import OUT, ROUTED
from tests.tables.routed_world import R
from tests.tables.test_diagnose import CENTRAL, H1, N1, NB1, SB1, Break, add, both, drop, put
from tests.tables.world import NET, A, B, Tables

from isthmus.diagnose.judge import Word

META = {"neutron:ovn-metadata-sb-cfg": "7"}


def counted(**counts: int) -> Break:
    """Change what the first hypervisor counts."""

    def do(tables: Tables) -> None:
        for row in tables[H1]["counter"]:
            row["value"] = counts.get(row["name"].replace("-", "_"), row["value"])

    return do


def logged(daemon: str, what: str, count: int) -> Break:
    return add(H1, "log", daemon=daemon, what=what, count=count, last="it said so")


def booted(port: str) -> Break:
    return add(H1, "console", port=port, count=2, last="it said so")


def tunnel(**said: str) -> Break:
    return put(H1, "Interface", "name", "ovn-1", bfd_status=said)


def tracked(target_port: int) -> Break:
    return add(H1, "tracked", port=A, protocol="tcp", source="10.0.0.5", target="10.0.0.6",
               target_port=target_port)  # fmt: skip


def certificate(days: int) -> Break:
    return add(H1, "certificate", path="/etc/ovn/host.pem", not_after="then", days=days)


def versions(northd: str, waits: str = "true") -> Break:
    def do(tables: Tables) -> None:
        put(SB1, "SB_Global", "nb_cfg", 7, options={"northd_internal_version": northd})(tables)
        put(H1, "daemon", "name", "ovn-controller", version="24.03.2")(tables)
        tables[H1]["Open_vSwitch"][0]["external_ids"]["ovn-match-northd-version"] = waits

    return do


def server(connected: bool) -> Break:
    return put(NB1, "server", "leader", True, model="clustered", connected=connected, leader=False)


def clock(done: int) -> Break:
    return both(
        put(NB1, "NB_Global", "nb_cfg", 7, nb_cfg_timestamp=1_700_000_000_000),
        put(SB1, "Chassis_Private", "name", "c1", nb_cfg_timestamp=1_700_000_000_000 + done),
    )


def agent(kind: str, host: str, **more: Any) -> Break:
    binary = f"neutron-{kind.lower().replace(' ', '-')}"
    row = {"id": f"{kind}-{host}", "agent_type": kind, "host": host, "binary": binary,
           "alive": True, **more}  # fmt: skip
    return add(N1, "agent", **row)


#: What makes a hypervisor one of ML2/OVS.
OVS = agent("Open vSwitch agent", "h1")


def dhcp(host: str) -> Break:
    """Let a DHCP agent on h3 be alive, and the network's port be somewhere."""
    return both(
        OVS, agent("DHCP agent", "h3"),
        add(N1, "dhcp_port", id="d", network_id=NET, binding__host_id=host),
    )  # fmt: skip


def bridge_flow(bridge: str, mac: str, count: int, *outputs: int) -> Break:
    return both(OVS, add(H1, "bridge_flow", bridge=bridge, mac=mac, count=count,
                         outputs=[*outputs]))  # fmt: skip


def neighbour(mac: str) -> Break:
    return add(H1, "neighbour", router_id=R, ip="10.0.2.6", mac=mac)


def actives(*states: str) -> Break:
    return both(*(
        add(N1, "router_agent", id=f"{R}/{n}", router_id=R, host=f"n{n}", ha_state=state,
            alive=True) for n, state in enumerate(states)
    ))  # fmt: skip


def metadata(plugged: bool) -> Break:
    """Let a metadata agent be on the hypervisor."""

    def do(tables: Tables) -> None:
        put(SB1, "Chassis_Private", "name", "c1", external_ids=META)(tables)
        if plugged:
            tables[H1]["Interface"].append({"name": "tapm", "iface_id": "meta", "options": {}})

    return do


def crowded(version: str) -> Break:
    """Let a network have as many ports of other sites as an old OVN takes, and one more."""
    return both(
        drop(NB1, "Logical_Switch_Port", "name", B),
        put(SB1, "remote_count", "datapath", "dp", count=680),
        put(SB1, "SB_Global", "nb_cfg", 7, options={"northd_internal_version": version}),
    )


def underlay(mtu: int) -> Break:
    return put(H1, "route", "dev", "br-phys", mtu=mtu)


MACHINE: dict[str, Case] = {
    "shadow.refused": Case(
        crowded("23.03.1-20.27.0-70.6"), crowded("24.03.2-20.33.0-76.8"), Word.BLOCKED
    ),
    "host.checksums": Case(counted(checksum_errors=9000), counted(checksum_errors=90)),
    "host.upcalls_lost": Case(counted(upcalls_lost=400), counted(upcalls_lost=40)),
    "conntrack.marked": Case(tracked(443), tracked(80)),
    "bfd.down": Case(tunnel(state="down", flap_count="1"), tunnel(state="up", flap_count="1")),
    "bfd.flapping": Case(
        tunnel(state="up", flap_count="70"), tunnel(state="up", flap_count="2"), Word.REACHABLE
    ),
    "host.certificate_expired": Case(certificate(-3), certificate(300)),
    "host.certificate_ends": Case(certificate(3), certificate(30), Word.REACHABLE),
    "host.rbac_refused": Case(
        logged("ovn-controller", "rbac", 4), logged("ovn-controller", "rbac", 0)
    ),
    "host.version_differs": Case(
        versions("24.03.4-20.33.0-76.8"), versions("24.03.2-20.33.0-76.8")
    ),
    "ovsdb.no_leader": Case(server(connected=False), server(connected=True)),
    "clock.host": Case(clock(-60_000), clock(900)),
    "clock.sites": Case(
        put(N1, "clock", "ahead_s", 1, ahead_s=90),
        both(put(N1, "clock", "ahead_s", 1, ahead_s=9),
             put(CENTRAL, "clock", "ahead_s", 0, ahead_s=8)),
    ),
    "metadata.not_plugged": Case(metadata(plugged=False), metadata(plugged=True)),
    "metadata.nova_refuses": Case(
        logged("neutron-ovn-metadata-agent", "nova", 4),
        logged("neutron-ovn-metadata-agent", "nova", 0),
    ),
    "metadata.no_source": Case(booted(A), booted("another")),
    "mtu.geneve_header": Case(underlay(1492), underlay(1500)),
    "agent.dead": Case(
        agent("OVN Controller agent", "h1", alive=False),
        agent("OVN Controller agent", "h7", alive=False),
    ),
    "dhcp.no_agent": Case(dhcp("h9"), dhcp("h3")),
    "bridge.no_flows": Case(
        bridge_flow("br-ex", "", 0), bridge_flow("br-ex", "", 4), Word.BLOCKED
    ),
    "bridge.stale_flow": Case(
        bridge_flow("br-int", MAC_B, 1, 3, 17), bridge_flow("br-int", MAC_B, 1, 3), Word.BLOCKED
    ),
    "router.stale_neighbour": Case(
        neighbour("fa:16:3e:00:00:99"), neighbour(MAC_B), Word.BLOCKED, ROUTED
    ),
    "router.two_active": Case(
        actives("active", "active"), actives("active", "standby"), Word.BLOCKED, OUT
    ),
    "router.reloads": Case(
        both(OVS, logged("keepalived", "reload", 40)), both(OVS, logged("keepalived", "reload", 4))
    ),
}  # fmt: skip
ALL = MORE | MACHINE
#: Told of back ends that the lab does not run: their rows are written by hand.
BY_HAND = frozenset({
    "dhcp.no_agent", "bridge.no_flows", "bridge.stale_flow", "router.stale_neighbour",
    "router.two_active", "router.reloads",
})  # fmt: skip
