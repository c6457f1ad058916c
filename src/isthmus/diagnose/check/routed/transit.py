"""The transit network of a router between the sender's site and its exit, as OVN has it."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import Check, Hop, Look, Need, broken, degraded, first
from isthmus.diagnose.check.routed.router_row import held_addresses, resync
from isthmus.diagnose.check.routed.words import router_of, subject
from isthmus.diagnose.check.row import requested_key
from isthmus.diagnose.course import Kind
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import CHASSIS_OPTION, KEY_OPTION, TRANSIT_PREFIX
from isthmus.model.verdict import Verdict


def over_transit(look: Look) -> str:
    """Return why a check of the transit network does not apply."""
    if look.course.kind not in (Kind.OUT, Kind.CROSS):
        return "it does not cross to another site by a router"
    if not look.course.router_id or not look.sender.site or not look.receiver.site:
        return "no site or router is known"
    return "" if look.sender.site != look.receiver.site else "it leaves by its own site"


def _plan(look: Look) -> Row:
    plan = look.fabric.plan_at(look.course.router_id, look.sender.site) or {}
    return plan.get("transit") or {}


def _peer(look: Look) -> Row | None:
    peers = _plan(look).get("peers") or ()
    return next((one for one in peers if one["site"] == look.receiver.site), None)


def check_network(look: Look) -> Iterator[Verdict]:
    """Yield a transit network that the site's OVN lacks, or has otherwise than decided."""
    site, router_id, plan = look.sender.site, look.course.router_id, _plan(look)
    if not plan:
        return  # the check of the exit tells
    name = TRANSIT_PREFIX + router_id
    mine, router = subject("router", router_id, site), router_of(look, router_id)
    switch = look.world.find(Source.NB, site, "transit_switch", name=name)
    port = look.world.find(Source.NB, site, "Logical_Router_Port", name=f"{name}-lrp")
    plug = look.world.find(Source.NB, site, "router_lsp", name=f"{name}-lsp")
    missing = [
        what
        for what, row in (("switch", switch), ("router port", port), ("switch port", plug))
        if row is None
    ]
    if missing:
        yield broken(
            "transit.missing",
            mine,
            f"the transit network of {router} lacks its {' and '.join(missing)} in OVN at site "
            f"{site}",
            look.evidence(Source.NB, site, f"no row of {name}"),
            resync(look, site, router_id),
        )
        return
    key = requested_key(switch or {})
    if key != plan["datapath_key"]:
        yield broken(
            "transit.key",
            mine,
            f"the transit network of {router} has key {key} in OVN at site {site}, and "
            f"{plan['datapath_key']} at all sites",
            look.evidence(Source.NB, site, f"Logical_Switch {name} {KEY_OPTION}={key}"),
            resync(look, site, router_id),
        )
    held = held_addresses(port or {})
    lacks = sorted({*map(str, plan["addresses"])} - held)
    if lacks or requested_key(plug or {}) != plan["port_key"]:
        yield broken(
            "transit.port",
            mine,
            f"the port of {router} on its transit network at site {site} is not as decided: it "
            f"lacks {', '.join(lacks) or 'key ' + str(plan['port_key'])}",
            look.evidence(
                Source.NB, site, f"{name}-lrp networks={sorted(held)}, key "
                f"{requested_key(plug or {})}",
            ),
            resync(look, site, router_id),
        )  # fmt: skip


def check_peer(look: Look) -> Iterator[Verdict]:
    """Yield the port of the other site's instance that is missing, or not as decided."""
    site, other, router_id = look.sender.site, look.receiver.site, look.course.router_id
    peer = _peer(look)
    if peer is None:
        return
    name = f"{TRANSIT_PREFIX}{router_id}/{other}"
    mine, router = subject("router", router_id, site), router_of(look, router_id)
    row = look.world.find(Source.NB, site, "router_lsp", name=name)
    if row is None:
        yield broken(
            "transit.peer_missing",
            mine,
            f"{router} at site {site} has no way to its instance at site {other}: their transit "
            "network lacks the other one's port",
            look.evidence(Source.NB, site, f"no Logical_Switch_Port {name}"),
            resync(look, site, router_id),
        )
        return
    wanted = " ".join((peer["mac"], *peer["addresses"]))
    written = " ".join(map(str, _list(row.get("addresses"))))
    if requested_key(row) != peer["port_key"] or written.lower() != wanted.lower():
        yield broken(
            "transit.peer_differs",
            mine,
            f"the instance of {router} at site {other} has key {peer['port_key']} and {wanted}, "
            f"and OVN at site {site} sends to key {requested_key(row)} and {written}",
            look.evidence(Source.NB, site, f"Logical_Switch_Port {name}"),
            resync(look, site, router_id),
        )
    asked = (row.get("options") or {}).get(CHASSIS_OPTION)
    hypervisor = (peer.get("hypervisor") or {}).get("chassis")
    if hypervisor and asked != hypervisor:
        yield degraded(
            "transit.peer_chassis",
            mine,
            f"OVN at site {site} sends packets for {router} at site {other} to {asked}, and its "
            f"gateway is on {hypervisor}: one more tunnel, or lost if {asked} is gone",
            look.evidence(Source.NB, site, f"Logical_Switch_Port {name} {CHASSIS_OPTION}={asked}"),
            resync(look, site, router_id),
        )


def check_bound(look: Look) -> Iterator[Verdict]:
    """Yield the port of the other site's instance that stands on no hypervisor."""
    site, other, router_id = look.sender.site, look.receiver.site, look.course.router_id
    name = f"{TRANSIT_PREFIX}{router_id}/{other}"
    row = look.world.find(Source.NB, site, "router_lsp", name=name)
    if row is None or _peer(look) is None:
        return
    bound = look.world.find(Source.SB, site, "router_binding", logical_port=name)
    chassis = look.chassis(site, first((bound or {}).get("chassis")))
    if chassis is None:
        asked = (row.get("options") or {}).get(CHASSIS_OPTION)
        yield broken(
            "transit.peer_unbound",
            subject("router", router_id, site),
            f"OVN at site {site} has put the way of {router_of(look, router_id)} to site {other} "
            f"on no hypervisor; it asks for {asked}",
            look.evidence(
                Source.SB, site,
                f"Port_Binding {name} " + ("has chassis=[]" if bound else "is missing"),
            ),
            resync(look, site, router_id),
        )  # fmt: skip


def check_arrival(look: Look) -> Iterator[Verdict]:
    """Yield an instance at the other site whose own port is not what is sent to."""
    site, router_id = look.receiver.site, look.course.router_id
    peer = _peer(look)
    if peer is None:
        return
    name = TRANSIT_PREFIX + router_id
    plug = look.world.find(Source.NB, site, "router_lsp", name=f"{name}-lsp")
    if plug is None or requested_key(plug) != peer["port_key"]:
        yield broken(
            "transit.arrival",
            subject("router", router_id, site),
            f"{router_of(look, router_id)} at site {site} does not take what comes over its "
            f"transit network: its port there has key "
            f"{requested_key(plug) if plug else 'none'} instead of {peer['port_key']}",
            look.evidence(Source.NB, site, f"Logical_Switch_Port {name}-lsp"),
            resync(look, site, router_id),
        )


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


CHECKS = (
    Check(name="transit network", hop=Hop.TRANSIT, run=check_network, skips=over_transit,
          needs=(Need.CENTRAL, Need.SENDER_NB)),
    Check(name="way to the other site", hop=Hop.TRANSIT, run=check_peer, skips=over_transit,
          needs=(Need.CENTRAL, Need.SENDER_NB)),
    Check(name="hypervisor of the other site", hop=Hop.TRANSIT, run=check_bound,
          skips=over_transit, needs=(Need.SENDER_NB, Need.SENDER_SB)),
    Check(name="arrival at the other site", hop=Hop.TRANSIT, run=check_arrival,
          skips=over_transit, needs=(Need.CENTRAL, Need.RECEIVER_NB)),
)  # fmt: skip
