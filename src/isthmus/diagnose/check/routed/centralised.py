"""Where packets are routed: on the gateway's hypervisor though they need not, or nowhere."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    broken,
    by_a_gate,
    degraded,
    first,
    from_a_site,
    port_of,
    verdict,
)
from isthmus.diagnose.check.routed.gateway import find_gateway
from isthmus.diagnose.check.routed.words import by_a_router, network_of, router_of, subject
from isthmus.diagnose.world import Row, Source
from isthmus.model.verdict import Severity, Verdict

#: Who makes ports that only stand for an address of a load balancer (Octavia and its OVN provider).
_BALANCERS = ("Octavia", "ovn-lb-vip", "neutron:LOADBALANCER")
_BOTH = (Need.EXIT_NB, Need.EXIT_SB)


def check_distributed(look: Look) -> Iterator[Verdict]:
    """Yield a floating IP that is to be translated at its port, which is on no hypervisor."""
    site = look.gate.site if look.gate else ""
    floating, port = look.course.floating or {}, look.inner
    address = str(floating.get("floating_ip_address") or floating.get("address") or "")
    for row in look.world.list(Source.NB, site, "NAT", type="dnat_and_snat", external_ip=address):
        bound = look.binding(site, port.id) or {}
        owner = str(port.port.get("device_owner") or "")
        nowhere = bound.get("type") == "virtual" or not first(bound.get("chassis"))
        if not first(row.get("external_mac")) or not (nowhere or owner.startswith(_BALANCERS)):
            continue
        yield broken(
            "nat.distributed_unbound",
            subject("floatingip", floating.get("id"), site),
            f"floating IP {address} is translated where port {port.label} is, and that only stands "
            f"for an address ({owner or 'on no hypervisor'}): nobody answers for it",
            look.evidence(
                Source.NB, site,
                f"NAT {row.get('_uuid')} external_mac={first(row.get('external_mac'))} "
                f"logical_port={first(row.get('logical_port'))}",
            ),
            f"ovn-nbctl clear NAT {row.get('_uuid')} external_mac logical_port   # at site {site}",
        )  # fmt: skip


def check_centralised(look: Look) -> Iterator[Verdict]:
    """Yield a network whose routed traffic all goes by the hypervisor of the gateway."""
    site, passage = look.sender.site, next(iter(look.course.passages), None)
    port = (passage.enters if passage else None) or {}
    name = f"lrp-{port.get('id')}"
    row: Row = look.world.find(Source.NB, site, "Logical_Router_Port", name=name) or {}
    said = (row.get("options") or {}).get("reside-on-redirect-chassis", "")
    if passage is not None and str(said).lower() == "true":
        network_id = str(port.get("network_id"))
        yield verdict(
            "lrp.centralised",
            Severity.ADVICE,
            subject("network", network_id, site),
            f"all that is routed of {network_of(look, network_id)} goes by the hypervisor of the "
            f"gateway of {router_of(look, passage.router_id)}, also between its own networks: one "
            "hop more, and in a tunnel if its VLAN does not lead there",
            look.evidence(
                Source.NB, site, f"Logical_Router_Port {name} has reside-on-redirect-chassis=true"
            ),
            f"in ml2_conf.ini of {site}: [ovn] enable_distributed_floating_ip = True, if each "
            "hypervisor is on the external network",
        )


def check_sessions(look: Look) -> Iterator[Verdict]:
    """Yield a next hop that is taken for alive though nobody asks, or that does not answer."""
    site, gateway = find_gateway(look)
    if gateway is None:
        return
    name, router_id = f"lrp-{gateway['id']}", look.course.router_id
    bound = look.world.find(Source.SB, site, "router_binding", logical_port=f"cr-{name}")
    holder = look.chassis(site, first((bound or {}).get("chassis")))
    for row in look.world.list(Source.SB, site, "BFD", logical_port=name):
        said = f"BFD {name} to {row.get('dst_ip')} status={row.get('status')}"
        if row.get("status") == "up" and holder is None:
            yield degraded(
                "bfd.orphan",
                subject("router", router_id, site),
                f"OVN takes next hop {row.get('dst_ip')} of {router_of(look, router_id)} for "
                "alive, and no hypervisor asks it any more: its share of the packets is lost",
                look.evidence(Source.SB, site, f"{said}, cr-{name} on no chassis"),
                f"ovn-sbctl set BFD {row.get('_uuid')} status=down   # at site {site}",
            )
        elif row.get("status") == "down":
            yield degraded(
                "bfd.next_hop_down",
                subject("router", router_id, site),
                f"next hop {row.get('dst_ip')} of {router_of(look, router_id)} does not answer "
                "BFD: OVN sends nothing there",
                look.evidence(Source.SB, site, said),
                f"see {row.get('dst_ip')}: whether it runs BFD towards {name}",
            )


def check_external_port(look: Look) -> Iterator[Verdict]:
    """Yield a port of a NIC's own (SR-IOV) that another hypervisor serves than its gateway's."""
    site, gateway = find_gateway(look)
    end = look.inner
    bound = look.binding(site, end.id) or {}
    if gateway is None or bound.get("type") != "external":
        return
    row = look.world.find(Source.SB, site, "router_binding", logical_port=f"cr-lrp-{gateway['id']}")
    serves = look.chassis(site, first(bound.get("chassis")))
    routes = look.chassis(site, first((row or {}).get("chassis")))
    if serves is not None and routes is not None and serves.get("name") != routes.get("name"):
        yield degraded(
            "lsp.external_elsewhere",
            port_of(end),
            f"{serves.get('hostname')} answers for port {end.label}, which is its NIC's own, and "
            f"the gateway of {router_of(look, look.course.router_id)} is on "
            f"{routes.get('hostname')}: DHCP works, other networks do not",
            look.evidence(
                Source.SB, site,
                f"Port_Binding {end.id} type=external chassis={serves.get('name')}, "
                f"cr-lrp-{gateway['id']} chassis={routes.get('name')}",
            ),
            f"openstack --os-cloud {site} network set --description sent-again {end.network_id}   "
            "# Neutron puts both into one HA chassis group",
        )  # fmt: skip


CHECKS = (
    Check(name="floating IP at its port", hop=Hop.EXIT, run=check_distributed, needs=_BOTH,
          skips=lambda look: by_a_gate(look) or (
              "" if look.course.floating else "it has no floating IP"), vital=False),
    Check(name="sessions of BFD", hop=Hop.EXIT, run=check_sessions, needs=_BOTH, skips=by_a_gate,
          vital=False),
    Check(name="port of a NIC's own", hop=Hop.EXIT, run=check_external_port, needs=_BOTH,
          skips=by_a_gate, vital=False),
    Check(name="where it is routed", hop=Hop.GATEWAY, run=check_centralised,
          needs=(Need.SENDER_NB,), skips=lambda look: by_a_router(look) or from_a_site(look),
          vital=False),
)  # fmt: skip
