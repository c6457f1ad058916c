"""The gateway of a router where it is: its port, its hypervisor, the fabric of its network."""

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
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.routed.router_row import held_addresses, logical_router
from isthmus.diagnose.check.routed.words import network_of, router_of, subject
from isthmus.diagnose.world import Row, Source
from isthmus.model.verdict import Verdict

_BOTH = (Need.EXIT_NB, Need.EXIT_SB)


def find_gateway(look: Look) -> tuple[str, Row | None]:
    """Return the site of the leg's gateway, and the gateway's port as central has it."""
    site = look.gate.site if look.gate else ""
    return site, look.fabric.gateway_at(look.course.router_id, site)


def check_port(look: Look) -> Iterator[Verdict]:
    """Yield a gateway that the site's OVN lacks, or has no hypervisor for."""
    site, gateway = find_gateway(look)
    if gateway is None:
        return
    router_id, name = look.course.router_id, f"lrp-{gateway['id']}"
    router = router_of(look, router_id)
    lr = logical_router(look, site, router_id)
    row = look.world.find(Source.NB, site, "Logical_Router_Port", name=name)
    mine = subject("router", router_id, site)
    if lr is not None and (row is None or row.get("_uuid") not in (lr.get("ports") or ())):
        yield broken(
            "gateway.missing",
            mine,
            f"the gateway of {router} is missing in OVN at site {site}",
            look.evidence(Source.NB, site, f"no Logical_Router_Port {name} of the router"),
            f"{OPENSTACK} router set --description sent-again {router_id}",
        )
        return
    if row is None:
        return
    lacks = {str(one["ip_address"]) for one in gateway["fixed_ips"]} - held_addresses(row)
    if lacks:
        yield broken(
            "gateway.address",
            mine,
            f"the gateway of {router} lacks {', '.join(sorted(lacks))} in OVN at site {site}",
            look.evidence(Source.NB, site, f"{name} networks={row.get('networks')}"),
            f"{OPENSTACK} router set --description sent-again {router_id}",
        )
    if not [*look.world.list(Source.NB, site, "gateway_host", port=name)]:
        yield broken(
            "gateway.not_scheduled",
            mine,
            f"the gateway of {router} is scheduled to no hypervisor of site {site}",
            look.evidence(
                Source.NB, site, f"{name} has neither ha_chassis_group nor gateway_chassis"
            ),
            "on a hypervisor that is to be a gateway: ovs-vsctl set Open_vSwitch . "
            "external_ids:ovn-cms-options=enable-chassis-as-gw; then: "
            f"{OPENSTACK} router set --description sent-again {router_id}",
        )


def check_claim(look: Look) -> Iterator[Verdict]:
    """Yield a gateway that no hypervisor has claimed, or one without the external network."""
    site, gateway = find_gateway(look)
    if gateway is None:
        return
    name, router_id = f"lrp-{gateway['id']}", look.course.router_id
    for one in look.world.list(Source.NB, site, "gateway_host", port=name):
        if str(one.get("name") or "") == f"{name}-{one['chassis_name']}":
            yield degraded(
                "gateway.by_hand",
                subject("router", router_id, site),
                f"somebody has bound the gateway of {router_of(look, router_id)} to "
                f"{one['chassis_name']} by hand: Neutron does not move it when that is gone",
                look.evidence(Source.NB, site, f"Gateway_Chassis {one['name']}"),
                f"ovn-nbctl lrp-del-gateway-chassis {name} {one['chassis_name']}   # at site "
                f"{site}",
            )
    members = sorted(
        look.world.list(Source.NB, site, "gateway_host", port=name),
        key=lambda one: -int(one.get("priority") or 0),
    )
    if not members:
        return
    names = [str(one["chassis_name"]) for one in members]
    rows = {str(one["name"]): one for one in look.world.rows(Source.SB, site, "Chassis")}
    hosts = [str(rows[one].get("hostname")) for one in names if one in rows]
    bound = look.world.find(Source.SB, site, "router_binding", logical_port=f"cr-{name}")
    holder = look.chassis(site, first((bound or {}).get("chassis")))
    router = router_of(look, router_id)
    mine = subject("router", router_id, site)
    if not hosts:
        yield broken(
            "gateway.no_chassis",
            mine,
            f"the gateway of {router} is scheduled to {', '.join(names)} at site {site}, and none "
            "of them is there",
            look.evidence(Source.SB, site, f"no Chassis {', '.join(names)}"),
            f"on {names[0]}: systemctl start ovn-controller",
        )
    elif holder is None:
        yield broken(
            "gateway.not_claimed",
            mine,
            f"no hypervisor of site {site} has claimed the gateway of {router}; it is scheduled to "
            f"{', '.join(hosts)}",
            look.evidence(
                Source.SB, site,
                f"Port_Binding cr-{name} has chassis=[]" if bound else f"no Port_Binding cr-{name}",
            ),
            f"on {hosts[0]}: systemctl restart ovn-controller",
        )  # fmt: skip
    elif holder.get("name") != names[0] and names[0] in rows:
        yield degraded(
            "gateway.failed_over",
            mine,
            f"the gateway of {router} is on {holder.get('hostname')}, and {hosts[0]} comes first",
            look.evidence(Source.SB, site, f"Port_Binding cr-{name} chassis={holder.get('name')}"),
            f"on {hosts[0]}: systemctl restart ovn-controller",
        )
    next_one = holder or next((rows[one] for one in names if one in rows), None)
    if next_one is not None:
        yield from _check_mapping(look, site, gateway, next_one)


def _check_mapping(look: Look, site: str, gateway: Row, holder: Row) -> Iterator[Verdict]:
    """Yield a hypervisor that has a gateway and is not on its network's fabric."""
    network_id = str(gateway["network_id"])
    ports = [*look.world.list(Source.NB, site, "external_port", network_id=network_id)]
    network = f"external {network_of(look, network_id)}"
    localnets = [one for one in ports if one.get("type") == "localnet"]
    if not localnets:
        yield broken(
            "external.no_fabric",
            subject("network", network_id, site),
            f"{network} is on no fabric in OVN at site {site}",
            look.evidence(
                Source.NB, site,
                f"switch neutron-{network_id} "
                + ("has no localnet port" if ports else "is missing"),
            ),
            # Neutron's maintenance worker makes a switch that is lost, and no port of it alone.
            f"where the Neutron of {site} runs: isthmus-ovn-db-sync-util --config-file "
            "/etc/neutron/neutron.conf --repair" if ports
            else f"isthmus site resync {site} --network {network_id} --wait 60",
        )  # fmt: skip
        return
    physical = str((localnets[0].get("options") or {}).get("network_name"))
    said = {**(holder.get("external_ids") or {}), **(holder.get("other_config") or {})}
    mapped = str(said.get("ovn-bridge-mappings") or "")
    if physical not in [one.partition(":")[0] for one in mapped.split(",")]:
        host = holder.get("hostname")
        yield broken(
            "gateway.no_mapping",
            subject("hypervisor", host, site),
            f"hypervisor {host} is to have the gateway of "
            f"{router_of(look, look.course.router_id)}, and has no bridge for physical network "
            f"{physical} of {network}",
            look.evidence(
                Source.SB, site,
                f"Chassis {holder.get('name')} has ovn-bridge-mappings={mapped or 'none'}",
            ),
            f"on {host}: ovs-vsctl set Open_vSwitch . "
            f"external_ids:ovn-bridge-mappings={physical}:BRIDGE",
        )  # fmt: skip


def check_size(look: Look) -> Iterator[Verdict]:
    """Yield a gateway whose network takes smaller packets, of which nobody inside is told."""
    site, gateway = find_gateway(look)
    if gateway is None:
        return
    inside = (look.fabric.network(look.inner.network_id) or {}).get("mtu")
    outside = (look.fabric.network(str(gateway["network_id"])) or {}).get("mtu")
    name = f"lrp-{gateway['id']}"
    row = look.world.find(Source.NB, site, "Logical_Router_Port", name=name) or {}
    told = (row.get("options") or {}).get("gateway_mtu")
    if inside and outside and int(outside) < int(inside) and not told:
        yield degraded(
            "mtu.gateway",
            subject("router", look.course.router_id, site),
            f"external {network_of(look, str(gateway['network_id']))} takes packets of {outside} "
            f"bytes, port {look.inner.label} sends {inside}, and its gateway tells nobody",
            look.evidence(Source.NB, site, f"Logical_Router_Port {name} has no gateway_mtu"),
            f"ovn-nbctl set Logical_Router_Port {name} options:gateway_mtu={outside}   # at site "
            f"{site}",
        )


CHECKS = (
    Check(name="gateway in OVN", hop=Hop.EXIT, run=check_port, skips=by_a_gate,
          needs=(Need.EXIT_NB,)),
    Check(name="hypervisor of the gateway", hop=Hop.EXIT, run=check_claim, skips=by_a_gate,
          needs=_BOTH),
    Check(name="MTU of the gateway", hop=Hop.EXIT, run=check_size, skips=by_a_gate,
          needs=(Need.EXIT_NB,), vital=False),
)  # fmt: skip
