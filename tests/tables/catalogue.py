"""The catalogue of faults of a cloud's network, and the codes by which `isthmus why` tells of each.

A class is what an operator would call one cause, whichever rows show it. One without a code is not
told of. Behind each code stands a world that has it (`show`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.tables import test_diagnose as plain
from tests.tables import test_probe as sent
from tests.tables.machine_faults import ALL
from tests.tables.more_faults import BEHIND
from tests.tables.routed_faults import CASES, ROUTED, SERVICES, extra_route
from tests.tables.routed_world import ask_routed, routed
from tests.tables.test_diagnose import put, rules
from tests.tables.test_healthy import GROWN, ask_broken
from tests.tables.world import NET, B, Tables, ask, healthy

from isthmus.diagnose.judge import Blocker, Diagnosis
from isthmus.diagnose.probe.outcome import weigh
from isthmus.diagnose.probe.plan import plan_probes
from isthmus.diagnose.probe.run import Outcome


@dataclass(frozen=True, slots=True)
class Fault:
    """One class."""

    name: str
    codes: str = ""  #: by which it is told, with blanks between them; empty where it is not


#: Within one site. The order is that of the way of a packet, and then of those who steer it.
WITHIN = (
    Fault("no ingress rule lets it in", "policy.ingress.none policy.ingress.family "
          "policy.ingress.protocol policy.ingress.port policy.ingress.remote_prefix "
          "policy.ingress.address_group policy.no_groups"),
    Fault("no egress rule lets it out",
          "policy.egress.none policy.egress.port policy.egress.remote_prefix"),
    Fault("rules let no DHCP out", "policy.no_dhcp"),
    Fault("a member is missing in a remote group or its address set",
          "policy.ingress.remote_group acl.address_set acl.not_in_port_group"),
    Fault("a stateless group has no rule for replies", "policy.stateless_return"),
    Fault("IPv6 neighbour discovery is kept out", "lsp.neighbour_security"),
    Fault("the port is down", "port.admin_down lsp.disabled lsp.not_disabled"),
    Fault("the port could not be bound", "port.binding_failed"),
    Fault("the port was never plugged in",
          "port.unbound binding.no_chassis host.no_interface port.not_active port.no_address"),
    Fault("two hypervisors, or two interfaces, claim it",
          "binding.wrong_chassis host.interface_twice"),
    Fault("port security keeps out a shared address", "port.spoofed_address lsp.port_security"),
    Fault("a server's port is taken for a shared address (OVN's type virtual)", "lsp.virtual"),
    Fault("port security keeps out VRRP's MAC address", "lsp.pair_missing port.vrrp_mac"),
    Fault("an address twice", "port.address_twice"),
    Fault("a MAC address twice", "port.mac_twice"),
    Fault("a subport of a trunk without its parent, or with another VLAN", "lsp.no_parent"),
    Fault("a QoS limit that looks like loss", "qos.limit"),
    Fault("nothing listens, or a firewall of the guest", "guest.refuses guest.silent"),
    Fault("RBAC, or a network of another project", "network.not_shared"),
    Fault("no DHCP options", "dhcp.no_options probe.dhcp"),
    Fault("a bad DHCP option", "dhcp.bad_option"),
    Fault("no DHCP agent on the network (ML2/OVS)", "dhcp.no_agent"),
    Fault("no address is left", "subnet.full"),
    Fault("another DHCP server", "probe.dhcp_twice"),
    Fault("no metadata port, or none with an address", "metadata.no_address"),
    Fault("no metadata namespace on the hypervisor", "metadata.not_plugged"),
    Fault("the metadata agent hangs", "metadata.agent_behind"),
    Fault("no route to metadata", "dhcp.no_metadata_route dhcp.other_metadata_route"),
    Fault("metadata does not reach Nova", "metadata.nova_refuses"),
    Fault("cloud-init has no source", "metadata.no_source"),
    Fault("no name server", "dhcp.no_name_server"),
    Fault("no router advertisement, or of another mode",
          "lrp.no_advertisement lrp.other_advertisement"),
    Fault("no router joins the subnet", "router.none router.not_joined"),
    Fault("no gateway in the subnet, or another one",
          "subnet.no_gateway subnet.gateway_elsewhere"),
    Fault("the router has no external gateway", "router.no_gateway router.no_gateway_of_family"),
    Fault("no source translation, or a wrong one",
          "snat.off nat.no_source nat.other_address nat.missing"),
    Fault("a route is missing, or leads nowhere",
          "route.next_hop_nowhere route.next_hop_dead subnet.host_route_dead"),
    Fault("no default route, or one too many", "default_route.missing default_route.extra"),
    Fault("a floating IP has no port, or is down",
          "floating.none floating.no_port floating.down floating.fixed_gone"),
    Fault("a distributed floating IP has no MAC address", "nat.no_mac"),
    Fault("a distributed floating IP on a hypervisor without the bridge",
          "nat.no_fabric_at_port"),
    Fault("a load balancer's floating IP is distributed", "nat.distributed_unbound"),
    Fault("a translation's gateway port is bound nowhere", "gateway.not_claimed"),
    Fault("the gateway is scheduled nowhere", "gateway.not_scheduled"),
    Fault("the gateway stands on a hypervisor without the bridge", "gateway.no_mapping"),
    Fault("the gateway's hypervisor is dead", "gateway.no_chassis gateway.failed_over"),
    Fault("BFD goes up and down", "bfd.flapping bfd.down bfd.next_hop_down"),
    Fault("BFD is up with nobody behind it", "bfd.orphan"),
    Fault("a gateway's row was made by hand", "gateway.by_hand"),
    Fault("no gateway in the availability zone", "router.not_at_site"),
    Fault("two active routers (ML2/OVS, HA)", "router.two_active"),
    Fault("keepalived is told to reload too often (ML2/OVS)", "router.reloads"),
    Fault("OVN keeps an old MAC address", "lrp.stale_mac"),
    Fault("a router upstream keeps an old MAC address", "probe.upstream_mac"),
    Fault("a wrong entry of distributed routers (ML2/OVS, DVR)", "router.stale_neighbour"),
    Fault("subnets that overlap", "router.subnets_overlap router.other_subnet"),
    Fault("replies leave another way", "return.other_router return.other_exit"),
    Fault("a port forwarding that cannot work", "forwarding.none forwarding.no_ping "
          "forwarding.missing"),
    Fault("a member of a load balancer is marked down", "lb.member_offline"),
    Fault("UDP between hypervisors is blocked", "probe.silent"),
    Fault("a wrong tunnel address", "host.encap_ip chassis.address_claimed chassis.encap_twice"),
    Fault("no common encapsulation", "chassis.encap_type"),
    Fault("two hypervisors of one name", "host.system_id_twice"),
    Fault("two or stale rows of one hypervisor", "chassis.twice"),
    Fault("the underlay carries too little", "mtu.too_large probe.mtu"),
    Fault("the guest's interface carries another size", "host.tap_mtu dhcp.mtu"),
    Fault("a router does not say that packets are too large", "mtu.gateway"),
    Fault("networks of different MTU", "mtu.networks_differ"),
    Fault("Neutron reserves too little for Geneve", "mtu.geneve_header"),
    Fault("a bridge mapping is missing", "external.no_fabric"),
    Fault("two physical networks on one bridge", "host.bridge_twice"),
    Fault("checksums that a NIC leaves out", "host.checksums"),
    Fault("the switch does not carry the VLAN", "probe.vlan"),
    Fault("a segment id twice", "segment.twice"),
    Fault("an interface is down, or out of its bridge", "host.tap_down host.interface_error"),
    Fault("flows of a bridge are lost (ML2/OVS)", "bridge.no_flows"),
    Fault("an old flow leads to a port that is gone (ML2/OVS)", "bridge.stale_flow"),
    Fault("Open vSwitch was started anew, or is dead", "host.vswitchd_dead host.vswitchd_hung"),
    Fault("a hypervisor lacks a flow", "host.no_flow host.no_tunnel"),
    Fault("an old or full table of MAC addresses", "fdb.stale"),
    Fault("conntrack is full", "host.conntrack_full"),
    Fault("an old entry of conntrack", "conntrack.marked"),
    Fault("upcalls are lost", "host.upcalls_lost"),
    Fault("a VLAN network's traffic is centralised", "lrp.centralised"),
    Fault("an external port stands on another gateway (SR-IOV)", "lsp.external_elsewhere"),
    Fault("an agent is dead", "agent.dead"),
    Fault("ovn-controller is dead, hangs or is not connected",
          "host.controller_dead host.controller_hung host.controller_disconnected "
          "chassis.behind"),
    Fault("a hypervisor's row is gone", "chassis.missing chassis.private_orphan"),
    Fault("ovn-northd is dead or behind", "northd.behind northd.no_binding"),
    Fault("a database without leader", "ovsdb.no_leader"),
    Fault("a certificate has expired", "host.certificate_expired host.certificate_ends"),
    Fault("OVN's rows are not what Neutron wants",
          "acl.missing acl.extra switch.missing lsp.missing lsp.addresses lr.missing lr.disabled "
          "lrp.missing lrp.address lrp.mac lrp.disabled lrp.unplugged gateway.missing "
          "gateway.address"),
    Fault("versions that do not match", "host.version_differs"),
    Fault("RBAC of OVN refuses a hypervisor", "host.rbac_refused"),
    Fault("a server is being moved", "lsp.migrating binding.not_up"),
    Fault("a quota is used up", "quota.used_up"),
)  # fmt: skip

#: Between sites.
BETWEEN = (
    Fault("no lease is left", "lease.exhausted"),
    Fault("a shadow port is stale", "shadow.stale_chassis shadow.stale_addresses shadow.addresses"),
    Fault("a shadow port is missing", "shadow.missing shadow.unreported shadow.unbound"),
    Fault("another site's hypervisor is missing, or another",
          "remote_chassis.missing remote_chassis.not_remote remote_chassis.encap_ip"),
    Fault("keys clash", "binding.key port.key_changed shadow.key network.datapath_key"),
    Fault("sites carry different sizes", "mtu.sites_differ"),
    Fault("a hypervisor makes no tunnels to other sites", "host.not_interconn"),
    Fault("more shadow ports than an old OVN takes", "shadow.refused"),
    Fault("the exit's site is down", "exit.site_disabled exit.seat_lost site.unreachable"),
    Fault("a change is parked, or waits", "job.parked job.waiting report.refused"),
    Fault("clocks differ", "clock.sites clock.host"),
    Fault("a site is disabled", "site.disabled"),
    Fault("half of a bundle is there",
          "network.missing subnet.missing group.not_at_site group.rules_differ"),
    Fault("a network is not at the site", "network.not_present"),
    Fault("the transit network of a router is broken",
          "transit.missing transit.key transit.port transit.peer_missing transit.peer_differs "
          "transit.peer_chassis transit.peer_unbound transit.arrival exit.no_transit"),
    Fault("a floating IP is answered at no site", "floating.no_site floating.no_transit"),
)  # fmt: skip

CATALOGUE = {"within a site": WITHIN, "between sites": BETWEEN}

#: Why no lab has shown a class: its rows are those of then all the same.
ROWS_ALONE = {
    "no address is left": "leases of a lab's subnets are not used up in a test's time",
    "another DHCP server": "no second server runs in the lab",
    "no metadata port, or none with an address": "the lab has no port for metadata without Nova",
    "metadata does not reach Nova": "a sentence of a log; the lab has no agent without Nova",
    "cloud-init has no source": "guests that write a console are virtual machines",
    "a load balancer's floating IP is distributed": "the lab has no Octavia",
    "BFD is up with nobody behind it": "a session needs a next hop that speaks BFD",
    "a router upstream keeps an old MAC address": "told by packets from outside, of recorded ones",
    "replies leave another way": "takes a second router with a floating IP of the same port",
    "the switch does not carry the VLAN": "the lab has no switch that filters VLANs",
    "an old entry of conntrack": "a connection would have to be forbidden while it lasts",
    "upcalls are lost": "takes more new connections than one machine makes",
    "an agent is dead": "in the lab it is ovn-controller, which is named by itself",
    "a database without leader": "the lab's databases are one server each",
    "RBAC of OVN refuses a hypervisor": "the lab's databases are reached without certificates",
    "a shadow port is missing": "its site writes the row anew before anybody can ask",
    "more shadow ports than an old OVN takes": "takes 680 ports on a network",
    "no lease is left": "leases of a lab's subnets are not used up in a test's time",
}


def _plain(change: Callable[[Tables], object]) -> Callable[[], Diagnosis]:
    def build() -> Diagnosis:
        tables = healthy()
        change(tables)
        return ask(tables)

    return build


def _router(code: str) -> Callable[[], Diagnosis]:
    def build() -> Diagnosis:
        tables, (change, question) = routed(), CASES[code]
        change(tables)
        return ask_routed(tables, *question, SERVICES.get(code, "tcp/443"))

    return build


def _packets(
    state: str, service: str = "icmp", requests: int | None = None, **others: str
) -> Callable[[], Diagnosis]:
    def build() -> Diagnosis:
        change = sent.shut if state == "answered" and not others else lambda _: None
        found = sent.found(change, service)
        plan = plan_probes(found, 1)
        seen = () if requests is None else sent.seen(plan, requests, 0)
        return weigh(found, Outcome(sent.came(plan, state, **others), seen))

    return build


def _on_wire() -> Diagnosis:
    found = sent.found(sent.on_wire)
    plan = plan_probes(found, 1)
    return weigh(found, Outcome(sent.came(plan, "silent"), sent.seen(plan, 3, 0)))


def _through_server() -> Diagnosis:
    tables = routed()
    extra_route("10.0.0.66")(tables)
    tables[plain.CENTRAL]["next_hop_port"] = [
        {"id": "fw", "name": "fw", "network_id": NET, "device_owner": "compute:x",
         "fixed_ips": [{"ip_address": "10.0.0.66"}]}
    ]  # fmt: skip
    return ask_routed(tables, *ROUTED)


#: Codes that have worlds of their own beside the tables.
_OTHERS: dict[str, Callable[[], Diagnosis]] = {
    "acl.extra": _plain(rules(plain.OUT)),
    "acl.not_understood": _plain(
        put(plain.NB2, "ACL", "_uuid", "a-to-lport", match="outport == @pg_sg_one && mystery == 3")
    ),
    "lsp.not_disabled": _plain(put(plain.N2, "port", "id", B, admin_state_up=False)),
    "port.spoofed_address": lambda: ask(healthy(), address="10.0.0.99"),
    "route.through_server": _through_server,
    **{code: partial(ask_broken, change) for code, change in GROWN.items()},
    **{code: partial(case.build, case.change) for code, case in ALL.items()},
    **{code: partial(case.build, case.change) for code, (case, _) in BEHIND.items()},
    "guest.refuses": _packets("refused", "tcp/443"),
    "guest.silent": _packets("silent", requests=6),
    "probe.answered": _packets("answered"),
    "probe.dhcp": _packets("answered", dhcp="silent"),
    "probe.dhcp_twice": _packets("answered", dhcp="twice"),
    "probe.mtu": _packets("answered", size="silent"),
    "probe.silent": _packets("silent", requests=3),
    "probe.upstream_mac": partial(sent.from_upstream, "fa:16:3e:00:00:77"),
    "probe.vlan": _on_wire,
}


def list_codes() -> list[str]:
    """List the codes that a world shows."""
    return sorted({*plain.BLOCKED, *plain.DEGRADED, *CASES, *_OTHERS})


def show(code: str) -> Blocker:
    """Return the finding of a code, in the world that has it."""
    of_plain = {**plain.BLOCKED, **plain.DEGRADED}
    build = _OTHERS.get(code)
    if build is None:
        build = _plain(of_plain[code]) if code in of_plain else _router(code)
    return next(one for one in build().blockers if one.verdict.code == code)
