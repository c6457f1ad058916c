"""Routes of the routers on the way: next hops, loops, subnets that overlap, sizes of packets."""

import ipaddress
from collections.abc import Iterator
from itertools import pairwise

from isthmus.diagnose.check.look import Check, Hop, Look, Need, broken, degraded
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.routed.words import (
    WALK,
    by_a_router,
    central,
    network_of,
    require,
    router_of,
    subject,
    subnet_of,
)
from isthmus.diagnose.course import Halt, Kind
from isthmus.diagnose.route.fabric import holds
from isthmus.diagnose.world import Row
from isthmus.model.verdict import Verdict


def check_next_hops(look: Look) -> Iterator[Verdict]:
    """Yield routes whose next hop is nowhere, and routers that send to each other for ever."""
    halt, about, target = look.course.halt, look.course.about, look.way.packet.target
    if halt not in (Halt.NEXT_HOP_NOWHERE, Halt.NEXT_HOP_DEAD, Halt.LOOP):
        return
    router_id = str(about.get("router_id") or "")
    via, destination = about.get("address"), about.get("destination")
    if halt is Halt.LOOP:
        chain = ", ".join(router_of(look, one.router_id) for one in look.course.passages)
        yield broken(
            "route.loop",
            subject("router", router_id),
            f"packets to {target} go round: {chain} and back to {router_of(look, router_id)}",
            central(look, "; ".join(f"{one.route} via {one.via}" for one in look.course.passages)),
            _take_away(look, str(look.course.passages[-1].router_id)),
        )
    elif not router_id:  # a host route of the sender's subnet
        subnet: Row = about["subnet"]
        yield broken(
            "subnet.host_route_dead",
            subject("subnet", subnet["id"]),
            f"{subnet_of(subnet)} tells its guests to send {target} to {via}, which no port has",
            central(look, f"host_routes of subnet {subnet['id']}"),
            f"{OPENSTACK} subnet unset --host-route destination={_host_route(subnet, target)},"
            f"gateway={via} {subnet['id']}",
        )
    elif halt is Halt.NEXT_HOP_NOWHERE:
        yield broken(
            "route.next_hop_nowhere",
            subject("router", router_id),
            f"{router_of(look, router_id)} sends {destination} to {via}, which is on no subnet "
            "that it joins",
            central(look, f"routes of router {router_id}: {destination} via {via}"),
            f"{OPENSTACK} router remove route --route destination={destination},gateway={via} "
            f"{router_id}",
        )
    else:
        yield broken(
            "route.next_hop_dead",
            subject("router", router_id),
            f"{router_of(look, router_id)} sends {destination} to {via}, which no port has",
            central(look, f"routes of router {router_id}: {destination} via {via}"),
            f"{OPENSTACK} router remove route --route destination={destination},gateway={via} "
            f"{router_id}",
        )


def _host_route(subnet: Row, target: str) -> str:
    found = [one for one in subnet.get("host_routes") or () if holds(one["destination"], target)]
    return str(found[0]["destination"]) if found else "PREFIX"


def _take_away(look: Look, router_id: str) -> str:
    last = look.course.passages[-1]
    return (
        f"{OPENSTACK} router remove route --route destination={last.route or '0.0.0.0/0'},"
        f"gateway={last.via or 'ADDRESS'} {router_id}"
    )


def check_overlap(look: Look) -> Iterator[Verdict]:
    """Yield subnets of one router that overlap where the target lies."""
    course, target = look.course, look.way.packet.target
    if course.kind is not Kind.ROUTED or not look.receiver.is_port:
        return
    for passage in course.passages:
        found = [
            one for one, _ in look.fabric.connected(passage.router_id) if holds(one["cidr"], target)
        ]
        for one, other in pairwise(found):
            yield broken(
                "router.subnets_overlap",
                subject("router", passage.router_id),
                f"{router_of(look, passage.router_id)} joins {subnet_of(one)} and "
                f"{subnet_of(other)}, and {target} is in both: only one of them is reached",
                central(look, f"router {passage.router_id} has ports on both"),
                f"{OPENSTACK} router remove subnet {passage.router_id} "
                f"{_wrong(look, one, other)['id']}",
            )
    arrived = course.passages[-1].leaves if course.passages else None
    if course.halt is Halt.ARRIVED and arrived is not None:
        network_id = str(arrived["network_id"])
        passed = course.passages[-1]
        if network_id != look.receiver.network_id and not [
            one for one, _ in look.fabric.connected(passed.router_id)
            if holds(one["cidr"], target) and one["network_id"] == look.receiver.network_id
        ]:  # fmt: skip
            yield broken(
                "router.other_subnet",
                subject("router", passed.router_id),
                f"{router_of(look, passed.router_id)} takes {target} for an address of "
                f"{network_of(look, network_id)}: {passed.route} there holds it as well as the "
                f"subnet of port {look.receiver.label}",
                central(look, f"router port {arrived['id']} is on {passed.route}"),
                f"renumber one of the two; or give port {look.receiver.id} a floating IP",
            )


def _wrong(look: Look, one: Row, other: Row) -> Row:
    return other if one["network_id"] == look.receiver.network_id else one


def check_sizes(look: Look) -> Iterator[Verdict]:
    """Yield networks on the way whose packets are smaller than those of the sender's network."""
    require(look, "joined_network")
    mtu = (look.fabric.network(look.sender.network_id) or {}).get("mtu")
    for passage in look.course.passages:
        for port in (passage.leaves,):
            network = look.fabric.network(str((port or {}).get("network_id"))) or {}
            other = network.get("mtu")
            if mtu and other and int(other) < int(mtu):
                yield degraded(
                    "mtu.networks_differ",
                    subject("network", network["id"]),
                    f"{network_of(look, str(network['id']))} takes packets of {other} bytes, and "
                    f"{network_of(look, look.sender.network_id)} sends {mtu}: OVN drops large "
                    "ones between two networks without a word",
                    central(look, f"mtu={mtu} and mtu={other}"),
                    f"{OPENSTACK} network set --mtu {other} {look.sender.network_id}   # then "
                    "renew the leases",
                )


def check_transit_range(look: Look) -> Iterator[Verdict]:
    """Yield a target that lies in the range of the router's transit network."""
    plan = look.fabric.plan_at(look.course.router_id, look.sender.site) or {}
    for prefix in (plan.get("transit") or {}).get("prefixes") or ():
        range_ = ipaddress.ip_network(prefix)
        if holds(prefix, look.way.packet.target) and range_.version == look.way.packet.family:
            yield broken(
                "transit.range",
                subject("router", look.course.router_id),
                f"{look.way.packet.target} is in {prefix}, by which the instances of "
                f"{router_of(look, look.course.router_id)} reach each other: nothing else there "
                "is reached",
                central(look, f"router-exits of {look.course.router_id}: transit {prefix}"),
                "set another transit range at central (see the configuration), or renumber the "
                "target",
            )


CHECKS = (
    Check(name="next hops", group=WALK, hop=Hop.ROUTE, run=check_next_hops, skips=by_a_router,
          needs=(Need.CENTRAL,)),
    Check(name="overlapping subnets", group=WALK, hop=Hop.ROUTE, run=check_overlap,
          skips=by_a_router, needs=(Need.CENTRAL,)),
    Check(name="transit range", hop=Hop.ROUTE, run=check_transit_range, skips=by_a_router,
          needs=(Need.CENTRAL,)),
    Check(name="MTU of networks", hop=Hop.ROUTE, run=check_sizes, skips=by_a_router,
          needs=(Need.CENTRAL,), vital=False),
)  # fmt: skip
