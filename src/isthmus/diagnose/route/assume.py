"""Rows as they would be with what ends a way repaired, so that it can be followed on. Pure.

Only what ends a way is assumed away: a subnet's gateway, a route, a router's port, the site of an
exit or of a floating IP. What Neutron and Isthmus would write into OVN by themselves then is not
made up: its absence is told of no more than it is a fault now.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from isthmus.diagnose.course import Halt, Kind
from isthmus.diagnose.question import End, Way, family_of
from isthmus.diagnose.route.fabric import Fabric, addresses, holds
from isthmus.diagnose.route.legs import Legs
from isthmus.diagnose.world import Row, Seen, Source, World
from isthmus.model.exits.plan import Lack
from isthmus.model.site import CENTRAL, SiteState
from isthmus.model.verdict import Verdict

#: A port that no row has.
ASSUMED = "to-be-made"
#: What is written once it is decided where a floating IP is.
_OF_FLOATING = frozenset({
    "nat.missing", "forwarding.missing", "return.other_exit", "return_policy.missing",
})  # fmt: skip
#: What is written once it is decided by which site packets leave.
_OF_EXITS = frozenset({
    "default_route.missing", "exit_route.missing", "exit_route.subnet_missing",
    "exit.no_transit", "transit.missing", "transit.arrival", "transit.peer_missing",
    "transit.peer_unbound",
})  # fmt: skip
#: What is written once a gateway has its site.
_OF_GATEWAYS = _OF_EXITS | frozenset({
    "nat.no_source", "gateway.missing", "gateway.not_scheduled", "gateway.not_claimed",
})  # fmt: skip
#: What is written once a router is at a site.
_OF_ROUTERS = _OF_GATEWAYS | frozenset({"lr.missing", "lrp.missing"})

Tables = dict[str, list[Row]]


@dataclass(slots=True)
class Assumed:
    """What was assumed, and which findings would only follow from that."""

    tables: Tables  #: of central
    changed: bool = False
    follows: set[str] = field(default_factory=set)  #: codes

    def update(self, names: Iterable[str], row_id: object, **change: Any) -> None:
        """Change a row in each of the tables that have it."""
        for name in names:
            rows = self.tables.get(name, [])
            self.tables[name] = [
                {**row, **change} if row.get("id") == row_id else row for row in rows
            ]
        self.changed = True

    def add(self, name: str, row: Row) -> None:
        """Add a row."""
        self.tables[name] = [*self.tables.get(name, []), row]
        self.changed = True

    def is_own(self, verdict: Verdict) -> bool:
        """Tell whether a finding follows from what was assumed."""
        return verdict.code in self.follows or verdict.subject.name == ASSUMED


def assume(world: World, legs: tuple[Legs, Legs]) -> tuple[World, Assumed]:
    """Return the rows with what ends a leg repaired: of the first leg that ends.

    Args:
        world: what was seen.
        legs: of the way there and the way back.
    """
    key = (Source.CENTRAL, CENTRAL)
    if key not in world.seen:
        return world, Assumed({})
    seen = world.seen[key]
    assumed = Assumed({name: [*rows] for name, rows in seen.tables.items()})
    for leg in (*legs[0], *legs[1]):
        _repair(assumed, Fabric(world), leg)
        if assumed.changed:
            break
    now = {**world.seen, key: Seen(assumed.tables, seen.at)}
    return (replace(world, seen=now) if assumed.changed else world), assumed


def _repair(assumed: Assumed, fabric: Fabric, leg: Way) -> None:
    course = leg.course
    repair = _HALTS.get(course.halt)
    if repair is not None:
        repair(assumed, fabric, leg)
    elif course.kind is Kind.ROUTED and course.halt is Halt.LEAVES:
        _join(assumed, fabric, course.router_id, leg.receiver)
    elif course.kind in (Kind.OUT, Kind.IN):
        for decide in (_seat_gateway, _decide_exit, _decide_floating):
            decide(assumed, fabric, leg)
            if assumed.changed:
                return


def _set_gateway(assumed: Assumed, fabric: Fabric, leg: Way) -> None:
    """Let a subnet name the router that joins it; without one, let a router join."""
    subnet: Row = leg.course.about["subnet"]
    names = ("subnet", "joined_subnet")
    for port in fabric.joins(leg.sender.network_id):
        for fixed in port.get("fixed_ips") or ():
            if fixed.get("subnet_id") == subnet["id"]:
                assumed.update(names, subnet["id"], gateway_ip=fixed["ip_address"])
                return
    router_id = _guess_router(fabric, leg)
    if not subnet.get("gateway_ip"):
        lowest = next(ipaddress.ip_network(str(subnet["cidr"])).hosts())
        assumed.update(names, subnet["id"], gateway_ip=str(lowest))
    elif router_id:
        _join(assumed, fabric, router_id, leg.sender)


def _guess_router(fabric: Fabric, leg: Way) -> str:
    """Return the router that is on the other side; empty where none or more than one is known."""
    floating = leg.course.floating or leg.receiver.floating or {}
    found = {str(floating.get("router_id") or ""), leg.course.router_id, leg.receiver.router_id}
    if leg.receiver.network_id:
        found |= {str(one.get("device_id")) for one in fabric.joins(leg.receiver.network_id)}
    elif not any(found):
        found |= {str(plan.get("id")) for plan in fabric.plans()}
    found.discard("")
    return found.pop() if len(found) == 1 else ""


def _join(assumed: Assumed, fabric: Fabric, router_id: str, end: End) -> None:
    """Let a router join the subnet of an end, by its gateway."""
    subnet = fabric.subnet_of(end.network_id, end.address) if end.network_id else None
    gateway = (subnet or {}).get("gateway_ip")
    if subnet is None or not gateway or fabric.owner(end.network_id, str(gateway)) is not None:
        return
    port = {
        "id": ASSUMED, "network_id": end.network_id, "device_id": router_id, "mac_address": "",
        "device_owner": "network:router_interface", "admin_state_up": True,
        "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": gateway}],
    }  # fmt: skip
    assumed.add("router_port", port)
    assumed.follows.add("router.subnets_overlap")


def _drop_host_route(assumed: Assumed, subnet: Row, target: str) -> None:
    kept = [one for one in subnet.get("host_routes") or () if not holds(one["destination"], target)]
    assumed.update(("subnet", "joined_subnet"), subnet["id"], host_routes=kept)


def _drop_route(assumed: Assumed, fabric: Fabric, leg: Way) -> None:
    """Take away the route that leads nowhere, or round."""
    about = leg.course.about
    router_id, via, destination = (
        about.get(one) for one in ("router_id", "address", "destination")
    )
    if not router_id:
        _drop_host_route(assumed, about["subnet"], leg.packet.target)
        return
    if leg.course.halt is Halt.LOOP:
        last = leg.course.passages[-1]
        router_id, via, destination = last.router_id, last.via, last.route
    row = fabric.router(str(router_id))
    kept = [
        one for one in (row or {}).get("routes") or ()
        if (str(one["nexthop"]), str(one["destination"])) != (str(via), str(destination))
    ]  # fmt: skip
    if row is not None and len(kept) < len(row.get("routes") or ()):
        assumed.update(("router",), router_id, routes=kept)
        if fabric.joins(leg.receiver.network_id):  # by another router: a route is to lead there
            assumed.follows.add("router.not_joined")


def _seat_gateway(assumed: Assumed, fabric: Fabric, leg: Way) -> None:
    """Let a gateway that is nowhere be at the site whose router has its network."""
    router_id = leg.course.router_id
    plan = fabric.plan(router_id)
    gateways = (plan or {}).get("gateways") or ()
    if plan is None or all(one.get("site") for one in gateways):
        return
    seated = [one if one.get("site") else {**one, "site": _seat(plan, one)} for one in gateways]
    if seated != [*gateways]:
        assumed.update(("router_exit",), router_id, gateways=seated)
        assumed.follows |= _OF_GATEWAYS


def _seat(plan: Row, gateway: Row) -> str | None:
    sites = plan.get("sites") or ()
    mine = [x for x in sites if x.get("gateway_network_id") == gateway.get("network_id")]
    mine = mine or [x for x in sites if x.get("state") == SiteState.DISABLED]
    return str(mine[0]["site"]) if len(mine) == 1 else None


def _decide_exit(assumed: Assumed, fabric: Fabric, leg: Way) -> None:
    """Let a site leave by the router's gateway, wherever that is."""
    site, router_id, family = leg.sender.site, leg.course.router_id, str(leg.packet.family)
    plan, gateway = fabric.plan(router_id), _choose_gateway(fabric, leg)
    if leg.course.kind is not Kind.OUT or plan is None or not site:
        return
    known = fabric.plan_at(router_id, site)
    here = known or {"site": site, "state": SiteState.ENABLED.value}
    exits = here.get("exits") or {}
    if known is None:
        exit_ = _make_exit(fabric, here, gateway, leg)
        if "next_hop" not in exit_:
            exit_ = {"lack": Lack.NO_GATEWAY.value}
        assumed.follows |= _OF_ROUTERS
    elif gateway is None or (exits.get(family) or {"lack": ""}).get("lack") is None:
        return
    else:
        exit_ = _make_exit(fabric, here, gateway, leg)
        assumed.follows |= _OF_EXITS
    here = {**here, "state": SiteState.ENABLED.value, "exits": {**exits, family: exit_}}
    others = [one for one in plan.get("sites") or () if one.get("site") != site]
    assumed.update(("router_exit",), router_id, sites=[*others, here])


def _make_exit(fabric: Fabric, here: Row, gateway: Row | None, leg: Way) -> dict[str, Any]:
    """Return an exit by a gateway; without a next hop where none is known."""
    if gateway is None:
        return {}
    site = str(gateway["site"])
    hop = _next_hop(fabric, here, site, gateway, leg.packet.family)
    return {
        "way": "local" if site == here["site"] else "transit",
        "site": site,
        "network_id": gateway.get("network_id"),
        **({"next_hop": hop} if hop else {}),
    }


def _choose_gateway(fabric: Fabric, leg: Way) -> Row | None:
    """Return the gateway by which a leg would leave: of the packet's IP version if there is one."""
    plan = fabric.plan(leg.course.router_id) or {}
    found = [one for one in plan.get("gateways") or () if one.get("site")]
    wanted = (leg.course.floating or {}).get("floating_network_id")

    def rank(one: Row) -> tuple[bool, bool, bool]:
        fits = any(family_of(x) == leg.packet.family for x in addresses(one))
        return (one.get("network_id") != wanted, not fits, one.get("site") != leg.sender.site)

    return min(found, key=rank, default=None)


def _next_hop(fabric: Fabric, here: Row, site: str, gateway: Row, family: int) -> str:
    """Return the next hop by which a gateway is reached; empty where none is known."""
    if site == here.get("site"):
        hops = [one.get("gateway_ip") for one in fabric.subnets(str(gateway["network_id"]))]
    else:
        peers = (here.get("transit") or {}).get("peers") or ()
        hops = [x for one in peers if one.get("site") == site for x in one.get("addresses") or ()]
    return next((str(one) for one in hops if one and family_of(str(one)) == family), "")


def _decide_floating(assumed: Assumed, fabric: Fabric, leg: Way) -> None:
    """Let a floating IP that leads nowhere be where its router's gateway is."""
    floating = leg.course.floating
    if floating is None or leg.course.forwarding is not None:
        return
    router_id = str(floating.get("router_id") or "")
    if not router_id:
        router_id = _give_router(assumed, fabric, floating)
    plan, decided = fabric.plan(router_id), fabric.decided({**floating, "router_id": router_id})
    gateway = _choose_gateway(fabric, replace(leg, course=replace(leg.course, router_id=router_id)))
    if plan is None or gateway is None or (decided is not None and decided.get("idle") is None):
        return
    others = [x for x in plan.get("floating_ips") or () if x.get("id") != floating.get("id")]
    made = {**(decided or {"id": floating.get("id")}), "site": gateway["site"], "idle": None}
    assumed.update(("router_exit",), router_id, floating_ips=[*others, made])
    assumed.follows |= _OF_FLOATING


def _give_router(assumed: Assumed, fabric: Fabric, floating: Row) -> str:
    """Let a floating IP be of the one router that has a gateway on its network."""
    network_id = floating.get("floating_network_id")
    found = [
        str(plan["id"]) for plan in fabric.plans()
        if any(one.get("network_id") == network_id for one in plan.get("gateways") or ())
    ]  # fmt: skip
    if len(found) != 1:
        return ""
    assumed.update(("floatingip",), floating.get("id"), router_id=found[0])
    return found[0]


_HALTS: dict[Halt, Callable[[Assumed, Fabric, Way], None]] = {
    Halt.NO_GATEWAY_IP: _set_gateway,
    Halt.GATEWAY_ELSEWHERE: _set_gateway,
    Halt.NO_ROUTER: _set_gateway,
    Halt.NEXT_HOP_NOWHERE: _drop_route,
    Halt.NEXT_HOP_DEAD: _drop_route,
    Halt.LOOP: _drop_route,
}
