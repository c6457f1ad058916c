"""A router and its floating IPs, from central's decision to the routers in OVN of each site."""

from collections.abc import Iterator

from isthmus.diagnose.explain.port import explain_port
from isthmus.diagnose.explain.rows import Rows, one_of
from isthmus.diagnose.explain.stage import Command, Layer, Stage, at_site, on_host, openstack
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import ROUTER_PREFIX, TRANSIT_PREFIX
from isthmus.model.site import CENTRAL


def explain_router(rows: Rows, router: Row) -> Iterator[Stage]:
    """Yield the stages of a router, place by place."""
    router_id = str(router["id"])
    plan = next(iter(rows.central("router_exit", id=router_id)), {})
    gateways = [f"{one.get('site')}" for one in plan.get("gateways") or ()]
    subnets = [str(one.get("cidr")) for one in plan.get("subnets") or ()]
    yield Stage(
        layer=Layer.API,
        place=CENTRAL,
        what=f"router {router_id}",
        facts={"name": str(router.get("name") or ""), "joins": ", ".join(subnets),
               "gateways at": ", ".join(gateways) or "no site"},
        commands=(openstack(CENTRAL, f"router show {router_id}"),
                  Command(f"isthmus router show {router_id}")),
    )  # fmt: skip
    for site in _list_sites(plan):
        if rows.has(Source.NB, site):
            yield from _at_site(rows, router_id, site)


def explain_floating_ip(rows: Rows, floating: Row) -> Iterator[Stage]:
    """Yield the stages of a floating IP: where it is translated, and its port."""
    floating_id, address = str(floating["id"]), str(floating.get("floating_ip_address"))
    router_id = str(floating.get("router_id") or "")
    plan = next(iter(rows.central("router_exit", id=router_id)), {}) if router_id else {}
    decided = [x for x in plan.get("floating_ips") or () if x.get("id") == floating_id]
    site = str((decided[0] if decided else {}).get("site") or "")
    yield Stage(
        layer=Layer.API,
        place=CENTRAL,
        what=f"floating IP {address}",
        facts={"leads to": str(floating.get("fixed_ip_address") or "nothing"),
               "router": router_id or "none", "is answered at": site or "no site"},
        commands=(openstack(CENTRAL, f"floating ip show {floating_id}"),),
    )  # fmt: skip
    if site and rows.has(Source.NB, site):
        name = ROUTER_PREFIX + router_id
        nat = rows.find(Source.NB, site, "NAT", external_ip=address, type="dnat_and_snat")
        yield Stage(
            layer=Layer.NB,
            place=site,
            site=site,
            what=f"NAT {address}",
            facts={"becomes": str((nat or {}).get("logical_ip", ""))},
            commands=(at_site(site, f"ovn-nbctl lr-nat-list {name}"),),
            is_there=nat is not None,
        )
        gateways = [x for x in plan.get("gateways") or () if x.get("site") == site]
        for gateway in gateways:
            yield from _gateway(rows, site, str(gateway["id"]))
    port_id = floating.get("port_id")
    for port in rows.central("port", id=str(port_id)) if port_id else ():
        yield from explain_port(rows, port)


def _list_sites(plan: Row) -> list[str]:
    found = [str(x) for one in plan.get("subnets") or () for x in one.get("sites") or ()]
    found += [str(one.get("site")) for one in plan.get("gateways") or () if one.get("site")]
    return sorted(set(found))


def _at_site(rows: Rows, router_id: str, site: str) -> Iterator[Stage]:
    name = ROUTER_PREFIX + router_id
    router = rows.find(Source.NB, site, "Logical_Router", name=name)
    found = router or {}
    yield Stage(
        layer=Layer.NB,
        place=site,
        site=site,
        what=f"Logical_Router {name}",
        facts={"static routes": str(len(found.get("static_routes") or ())),
               "translations": str(len(found.get("nat") or ())),
               "policies": str(len(found.get("policies") or ()))},
        commands=(at_site(site, f"ovn-nbctl list Logical_Router {name}"),
                  at_site(site, f"ovn-nbctl lr-route-list {name}"),
                  at_site(site, f"ovn-nbctl lr-nat-list {name}")),
        is_there=router is not None,
    )  # fmt: skip
    uuids = [str(one) for one in found.get("ports") or ()]
    ports = rows.select(Source.NB, site, "Logical_Router_Port", _uuid=uuids) if uuids else []
    for port in ports:
        yield Stage(
            layer=Layer.NB,
            place=site,
            site=site,
            what=f"Logical_Router_Port {port['name']}",
            facts={"networks": ", ".join(map(str, port.get("networks") or ())),
                   "MAC address": str(port.get("mac", ""))},
            commands=(at_site(site, f"ovn-nbctl list Logical_Router_Port {port['name']}"),),
        )  # fmt: skip
    transit = TRANSIT_PREFIX + router_id
    switch = rows.find(Source.NB, site, "Logical_Switch", name=transit)
    if switch is not None:
        yield Stage(
            layer=Layer.NB,
            place=site,
            site=site,
            what=f"Logical_Switch {transit}",
            facts={"leads to": "its instances at other sites",
                   "ports": str(len(switch.get("ports") or ()))},
            commands=(at_site(site, f"ovn-nbctl lsp-list {transit}"),),
        )  # fmt: skip
    yield from _bound(rows, site, [str(one["name"]) for one in ports])


def _bound(rows: Rows, site: str, names: list[str]) -> Iterator[Stage]:
    bound = [one for name in names if (one := rows.binding(site, name)) is not None]
    key = next((found for one in bound if (found := rows.key_of(site, one)) is not None), None)
    if key is None:
        return
    yield Stage(
        layer=Layer.SB,
        place=site,
        site=site,
        what=f"Datapath_Binding with key {key}",
        facts={"is on": "every hypervisor of the site that needs it"},
        commands=(at_site(site, f"ovn-sbctl find Datapath_Binding tunnel_key={key}"),),
    )
    for name in names:
        yield from _gateway(rows, site, name.removeprefix("lrp-"))
    match = f"metadata={key:#x}"
    for host, count in rows.list_flows(site, match):
        if count:
            yield Stage(
                layer=Layer.FLOWS,
                place=host,
                site=site,
                what=f"flows of datapath {key}",
                facts={"flows towards its ports": str(count)},
                commands=(on_host(host, f"ovs-ofctl -O OpenFlow15 dump-flows br-int {match}"),),
            )


def _gateway(rows: Rows, site: str, port_id: str) -> Iterator[Stage]:
    """Yield where the gateway by a port is claimed, and the bridges by which it leaves."""
    name = f"cr-lrp-{port_id}"
    row = rows.binding(site, name)
    if row is None:
        return
    chassis = rows.chassis_of(site, row)
    yield Stage(
        layer=Layer.SB,
        place=site,
        site=site,
        what=f"Port_Binding {name}",
        facts={"gateway claimed by": chassis or "no hypervisor"},
        commands=(at_site(site, f"ovn-sbctl find Port_Binding logical_port={name}"),),
        is_there=bool(chassis),
    )
    found = rows.find(Source.SB, site, "Chassis", name=chassis) if chassis else None
    host = str(found["hostname"]) if found else ""
    for settings in rows.select(Source.HOST, host, "Open_vSwitch") if host else ():
        ids = one_of([settings.get("external_ids") or {}])
        yield Stage(
            layer=Layer.TAP,
            place=host,
            site=site,
            what="bridges to the fabric",
            facts={"bridge mappings": str(ids.get("ovn-bridge-mappings", "none"))},
            commands=(
                on_host(host, "ovs-vsctl get Open_vSwitch . external_ids:ovn-bridge-mappings"),
                on_host(host, "ovs-vsctl list-br"),
            ),
        )
