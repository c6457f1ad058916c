"""Routes, translations and policies of exits in OVN, compared with what central has decided."""

import ipaddress
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
from isthmus.diagnose.check.routed.outlet import leaves, plan_here
from isthmus.diagnose.check.routed.router_row import logical_router, resync
from isthmus.diagnose.check.routed.words import router_of, subject
from isthmus.diagnose.course import Kind
from isthmus.diagnose.question import Direction
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import EXITS_MARK, ROUTER_PREFIX
from isthmus.model.verdict import Verdict

_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}


def _hanging(look: Look, site: str, table: str, column: str) -> list[Row]:
    """List the rows of a table that hang on the leg's router at a site."""
    router = logical_router(look, site, look.course.router_id) or {}
    held = {str(one) for one in router.get(column) or ()}
    return [one for one in look.world.rows(Source.NB, site, table) if str(one["_uuid"]) in held]


def _is_same(one: object, other: object) -> bool:
    try:
        return ipaddress.ip_network(str(one)) == ipaddress.ip_network(str(other))
    except ValueError:
        return False


def check_default(look: Look) -> Iterator[Verdict]:
    """Yield a default route that the site's OVN lacks, or has to another next hop."""
    yield from _check_default(look, look.sender.site, look.course.exit or {})


def check_default_beyond(look: Look) -> Iterator[Verdict]:
    """Yield a default route that the exit's site lacks, for what comes to it from another site."""
    site = look.gate.site if look.gate else ""
    if site and site != look.sender.site:
        plan = look.fabric.plan_at(look.course.router_id, site) or {}
        exit_ = (plan.get("exits") or {}).get(str(look.way.packet.family)) or {}
        if exit_.get("way") == "local":
            yield from _check_default(look, site, exit_)


def _check_default(look: Look, site: str, exit_: Row) -> Iterator[Verdict]:
    router_id = look.course.router_id
    if "next_hop" not in exit_ or logical_router(look, site, router_id) is None:
        return
    prefix = _EVERYTHING[look.way.packet.family]
    rows = [
        one for one in _hanging(look, site, "Logical_Router_Static_Route", "static_routes")
        if _is_same(one.get("ip_prefix"), prefix)
    ]  # fmt: skip
    hops = sorted(str(one.get("nexthop")) for one in rows)
    wanted, local = str(exit_["next_hop"]), exit_.get("way") == "local"
    code = "default_route" if local else "exit_route"
    way = "its gateway" if local else f"the transit network, to site {exit_.get('site')}"
    remedy = resync(look, site, router_id)
    if local:
        router = ROUTER_PREFIX + router_id
        remedy = f"ovn-nbctl lr-route-add {router} {prefix} {wanted}   # at site {site}"
    if wanted not in hops:
        yield broken(
            f"{code}.missing",
            subject("router", router_id, site),
            f"{router_of(look, router_id)} lacks its default route by {way} ({wanted}) in OVN at "
            f"site {site}",
            look.evidence(Source.NB, site, f"{prefix} leads to {', '.join(hops) or 'nowhere'}"),
            remedy,
        )
    for row in rows:
        if str(row.get("nexthop")) != wanted:
            stale = EXITS_MARK in (row.get("external_ids") or {})
            yield broken(
                "exit_route.extra" if stale else "default_route.extra",
                subject("router", router_id, site),
                f"{router_of(look, router_id)} has a default route to {row.get('nexthop')} as well "
                f"in OVN at site {site}: of two, packets take either",
                look.evidence(Source.NB, site, f"{prefix} leads to {', '.join(hops)}"),
                resync(look, site, router_id) if stale else
                f"ovn-nbctl lr-route-del {ROUTER_PREFIX}{router_id} {prefix} {row.get('nexthop')}"
                f"   # at site {site}",
            )  # fmt: skip


def check_subnet_routes(look: Look) -> Iterator[Verdict]:
    """Yield routes to subnets and prefixes at other sites that the site's OVN lacks."""
    site, router_id = look.sender.site, look.course.router_id
    plan = look.fabric.plan_at(router_id, site) or {}
    if logical_router(look, site, router_id) is None:
        return
    held = {
        (str(one.get("ip_prefix")), str(one.get("nexthop")))
        for one in _hanging(look, site, "Logical_Router_Static_Route", "static_routes")
    }
    for route in plan.get("routes") or ():
        if route["purpose"] == "default" or route["way"] != "transit":
            continue
        if (route["destination"], route["next_hop"]) not in held:
            yield broken(
                "exit_route.subnet_missing",
                subject("router", router_id, site),
                f"{router_of(look, router_id)} lacks its route to {route['destination']} at site "
                f"{route['site']} in OVN at site {site}",
                look.evidence(Source.NB, site, f"no static route via {route['next_hop']}"),
                resync(look, site, router_id),
            )


def check_translation(look: Look) -> Iterator[Verdict]:
    """Yield a translation that the OVN of the exit's site lacks, or has otherwise."""
    course, site = look.course, look.gate.site if look.gate else ""
    if look.way.packet.family != 4 or logical_router(look, site, course.router_id) is None:
        return
    rows = _hanging(look, site, "NAT", "nat")
    if course.floating is not None and course.forwarding is None:
        yield from _check_floating(look, site, rows, course.floating)
    elif course.forwarding is not None:
        yield from _check_forward(look, site, course.forwarding)
        yield from _check_beside(look, site, rows, course.forwarding)
    elif course.kind is Kind.OUT and course.translated:
        inside = ipaddress.ip_address(look.inner.address)
        snats = [
            one for one in rows
            if one.get("type") == "snat" and inside in ipaddress.ip_network(str(one["logical_ip"]))
        ]  # fmt: skip
        if course.translated not in [str(one.get("external_ip")) for one in snats]:
            yield broken(
                "nat.no_source",
                subject("router", course.router_id, site),
                f"{router_of(look, course.router_id)} does not translate {look.inner.address} to "
                f"{course.translated} in OVN at site {site}",
                look.evidence(Source.NB, site, f"{len(rows)} NAT rows, none of type snat for it"),
                resync(look, site, course.router_id),
            )


def _check_floating(look: Look, site: str, rows: list[Row], floating: Row) -> Iterator[Verdict]:
    external, router_id = str(floating.get("floating_ip_address")), look.course.router_id
    internal = str(floating.get("fixed_ip_address"))
    decided = look.fabric.decided(floating) or {}
    if decided.get("site") != site:
        return
    mine = [one for one in rows if one.get("external_ip") == external
            and one.get("type") == "dnat_and_snat"]  # fmt: skip
    wrong = [one for one in mine if str(one.get("logical_ip")) != internal]
    label = f"floating IP {external} ({floating.get('id')})"
    if not [one for one in mine if one not in wrong]:
        yield broken(
            "nat.missing",
            subject("floatingip", floating.get("id"), site),
            f"{label} is not translated to {internal} in OVN at site {site}",
            look.evidence(Source.NB, site, f"no NAT dnat_and_snat {external} {internal} of router "
                          f"{router_id}"),
            resync(look, site, router_id),
        )  # fmt: skip
    for row in mine:
        yield from _check_at_port(look, site, row, label)
    for row in wrong:
        yield broken(
            "nat.other_address",
            subject("floatingip", floating.get("id"), site),
            f"{label} leads to {row.get('logical_ip')} in OVN at site {site} instead of "
            f"{internal}",
            look.evidence(Source.NB, site, f"NAT {row.get('_uuid')} {external} "
                          f"{row.get('logical_ip')}"),
            resync(look, site, router_id) if EXITS_MARK in (row.get("external_ids") or {}) else
            f"ovn-nbctl lr-nat-del {ROUTER_PREFIX}{router_id} dnat_and_snat {external}   # at "
            f"site {site}",
        )  # fmt: skip


def _check_at_port(look: Look, site: str, row: Row, label: str) -> Iterator[Verdict]:
    """Yield a floating IP that its server's hypervisor is to translate, and cannot."""
    if not first(row.get("logical_port")):
        return
    floating_id = (look.course.floating or {}).get("id")
    if not first(row.get("external_mac")):
        yield broken(
            "nat.no_mac",
            subject("floatingip", floating_id, site),
            f"{label} is to be translated at its port in OVN at site {site}, and has no MAC there: "
            "nobody answers for it",
            look.evidence(Source.NB, site, f"NAT {row.get('_uuid')} has external_mac=[]"),
            f"ovn-nbctl set NAT {row.get('_uuid')} logical_port=[]   # at site {site}",
        )
        return
    host = look.inner.host
    chassis = look.world.find(Source.SB, site, "Chassis", hostname=host)
    if chassis is not None and not (chassis.get("other_config") or {}).get("ovn-bridge-mappings"):
        yield broken(
            "nat.no_fabric_at_port",
            subject("floatingip", floating_id, site),
            f"{label} is translated on hypervisor {host}, where its port is, and {host} has no "
            "bridge for any physical network",
            look.evidence(
                Source.SB, site, f"Chassis {chassis.get('name')} has no ovn-bridge-mappings"
            ),
            f"on {host}: ovs-vsctl set Open_vSwitch . "
            "external_ids:ovn-bridge-mappings=PHYSICAL_NETWORK:BRIDGE",
        )


def _check_forward(look: Look, site: str, forwarding: Row) -> Iterator[Verdict]:
    external = str(forwarding["address"])
    asked = look.there.packet if look.way.direction is Direction.BACK else look.way.packet
    rows = _hanging(look, site, "Load_Balancer", "load_balancer")
    wanted = f"{forwarding['fixed_address']}:{asked.target_port}"
    for row in rows:
        for outside, inside in (row.get("vips") or {}).items():
            if outside.startswith(f"{external}:") and inside == wanted:
                return
    yield broken(
        "forwarding.missing",
        subject("floatingip", forwarding["floating_ip_id"], site),
        f"OVN at site {site} forwards no port of floating IP {external} to {wanted}",
        look.evidence(Source.NB, site, f"{len(rows)} load balancers of the router, none has it"),
        resync(look, site, look.course.router_id),
    )


def _check_beside(look: Look, site: str, rows: list[Row], forwarding: Row) -> Iterator[Verdict]:
    """Yield a translation of the whole address beside a port forwarding of it."""
    external = str(forwarding["address"])
    for row in rows:
        if row.get("external_ip") == external and row.get("type") == "dnat_and_snat":
            yield broken(
                "nat.other_address",
                subject("floatingip", forwarding["floating_ip_id"], site),
                f"floating IP {external} leads to {row.get('logical_ip')} in OVN at site {site}, "
                "and forwards ports alone",
                look.evidence(Source.NB, site, f"NAT {row.get('_uuid')} {external} "
                              f"{row.get('logical_ip')}"),
                f"ovn-nbctl lr-nat-del {ROUTER_PREFIX}{look.course.router_id} dnat_and_snat "
                f"{external}   # at site {site}",
            )  # fmt: skip


def check_policy(look: Look) -> Iterator[Verdict]:
    """Yield the policy for replies that the OVN of the port's site lacks, or has otherwise."""
    course, site = look.course, look.sender.site
    plan = plan_here(look) or {}
    if not course.needs_policy or course.floating is None:
        return
    wanted = [*(plan.get("policies") or ())]
    wanted += [one["replies"] for one in plan.get("forwarded") or () if one.get("replies")]
    mine = [one for one in wanted if one["floating_ip_id"] == course.floating.get("id")]
    if not mine or logical_router(look, site, course.router_id) is None:
        return
    source, hop = str(mine[0]["source"]), str(mine[0]["next_hop"])
    rows = [
        one for one in _hanging(look, site, "Logical_Router_Policy", "policies")
        if str(one.get("match")).startswith(f"ip4.src == {source} ")
    ]  # fmt: skip
    hops = [str(x) for one in rows for x in _list(one.get("nexthops"))]
    if hop not in hops or [one for one in rows if one.get("action") != "reroute"]:
        yield broken(
            "return_policy.missing",
            subject("floatingip", course.floating.get("id"), site),
            f"replies of {source} do not go back to site {mine[0]['site']} ({hop}), where floating "
            f"IP {course.floating.get('floating_ip_address')} is: OVN at site {site} lacks the "
            "policy",
            look.evidence(Source.NB, site, f"policies for {source}: {hops or 'none'}"),
            resync(look, site, course.router_id),
        )


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def check_foreign(look: Look) -> Iterator[Verdict]:
    """Yield policies that nobody of ours wrote, and that match the leg's source."""
    site = look.sender.site
    for row in _hanging(look, site, "Logical_Router_Policy", "policies"):
        said = str(row.get("match"))
        if EXITS_MARK in (row.get("external_ids") or {}) or look.inner.address not in said:
            continue
        yield degraded(
            "return_policy.foreign",
            subject("router", look.course.router_id, site),
            f"{router_of(look, look.course.router_id)} has a policy at site {site} that nobody of "
            f"Isthmus wrote: {row.get('action')} where {said}",
            look.evidence(Source.NB, site, f"Logical_Router_Policy {row.get('_uuid')}"),
            f"ovn-nbctl lr-policy-del {ROUTER_PREFIX}{look.course.router_id} "
            f"{row.get('priority')} '{said}'   # at site {site}",
        )


CHECKS = (
    Check(name="default route in OVN", hop=Hop.ROUTE, run=check_default, skips=leaves,
          needs=(Need.CENTRAL, Need.SENDER_NB)),
    Check(name="default route at the exit", hop=Hop.EXIT, run=check_default_beyond, skips=leaves,
          needs=(Need.CENTRAL, Need.EXIT_NB)),
    Check(name="routes to other sites in OVN", hop=Hop.ROUTE, run=check_subnet_routes,
          needs=(Need.CENTRAL, Need.SENDER_NB),
          skips=lambda look: "" if look.course.router_id and look.sender.site else "no router"),
    Check(name="translation in OVN", hop=Hop.EXIT, run=check_translation, skips=by_a_gate,
          needs=(Need.CENTRAL, Need.EXIT_NB, Need.EXIT_SB)),
    Check(name="policy for replies in OVN", hop=Hop.ROUTE, run=check_policy, skips=leaves,
          needs=(Need.CENTRAL, Need.SENDER_NB)),
    Check(name="foreign policies", hop=Hop.ROUTE, run=check_foreign, skips=leaves,
          needs=(Need.SENDER_NB,), vital=False),
)  # fmt: skip
