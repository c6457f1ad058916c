"""Whether a router joins the networks of both ends, and is up."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import Check, Hop, Look, Need, broken
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.routed.words import (
    WALK,
    by_a_router,
    central,
    name_of,
    network_of,
    on_a_router,
    require,
    router_of,
    routers_on,
    subject,
    subnet_of,
)
from isthmus.diagnose.course import Halt, Kind
from isthmus.diagnose.world import Row, TableNotSeenError
from isthmus.model.verdict import Severity, Verdict


def _other_router(look: Look) -> str:
    """Return a router that joins the receiver's network, or a word that stands for one."""
    joins = look.fabric.joins(look.receiver.network_id) if look.receiver.id else []
    return str(joins[0]["device_id"]) if joins else "ROUTER"


def check_first_hop(look: Look) -> Iterator[Verdict]:
    """Yield what keeps a packet from coming to a router at all."""
    halt, about = look.course.halt, look.course.about
    if halt is Halt.NO_SUBNET:
        raise TableNotSeenError(
            f"the subnet of {about.get('address')} on network {about.get('network_id')} was not "
            "seen: you may not see it, or the address is on none"
        )
    require(look, "router_port")
    subnet: Row = about.get("subnet") or {}
    end, target = look.sender, look.way.packet.target
    if halt is Halt.NO_GATEWAY_IP:
        joins = look.fabric.joins(end.network_id)
        wanted = next(
            (one["ip_address"] for port in joins for one in port.get("fixed_ips") or ()
             if one.get("subnet_id") == subnet["id"]), "ADDRESS",
        )  # fmt: skip
        yield broken(
            "subnet.no_gateway",
            subject("subnet", subnet["id"]),
            f"{subnet_of(subnet)} has no gateway, so port {end.label} has no route to {target}",
            central(look, f"subnet {subnet['id']} has gateway_ip=None and no host route for it"),
            f"{OPENSTACK} subnet set --gateway {wanted} {subnet['id']}   # then renew the lease",
        )
    elif halt is Halt.NO_ROUTER:
        yield broken(
            "router.none",
            subject("subnet", subnet["id"]),
            f"no router joins {subnet_of(subnet)} of port {end.label}: nothing routes to {target}",
            central(
                look,
                f"no port has {about['address']}, and none of a router is on {end.network_id}",
            ),
            f"{OPENSTACK} router add subnet {_other_router(look)} {subnet['id']}",
        )
    elif halt is Halt.GATEWAY_ELSEWHERE:
        port: Row = about["port"]
        own = next(
            one["ip_address"] for one in port["fixed_ips"] if one["subnet_id"] == subnet["id"]
        )
        yield broken(
            "subnet.gateway_elsewhere",
            subject("subnet", subnet["id"]),
            f"{subnet_of(subnet)} tells port {end.label} the gateway {about['address']}, and "
            f"{router_of(look, str(port['device_id']))} is at {own}",
            central(look, f"router port {port['id']} has {own}; no port has {about['address']}"),
            f"{OPENSTACK} subnet set --gateway {own} {subnet['id']}   # then renew the lease",
        )
    elif halt is Halt.THROUGH_SERVER:
        port = about["port"]
        yield Verdict(
            code="route.through_server",
            severity=Severity.UNKNOWN,
            subject=subject("port", port["id"]),
            message=f"packets to {target} go to port {name_of(port, port['id'])}, which is no "
            "router's: what its server does with them is not seen",
            evidence=central(look, f"{about['address']} is its address"),
            remedy=f"isthmus why {end.id} {port['id']}; then ask that server",
        )


def check_joined(look: Look) -> Iterator[Verdict]:
    """Yield a router that neither joins the receiver's subnet nor has a route to it."""
    course, target = look.course, look.way.packet.target
    if course.kind is not Kind.ROUTED or course.halt is not Halt.LEAVES:
        return
    subnet = look.fabric.subnet_of(look.receiver.network_id, target) or {}
    what = subnet_of(subnet) if subnet else network_of(look, look.receiver.network_id)
    router = router_of(look, course.router_id)
    yield broken(
        "router.not_joined",
        subject("router", course.router_id),
        f"{router} of port {look.sender.label} does not join {what} of port "
        f"{look.receiver.label}, and has no route to it",
        central(
            look,
            "it joins " + ", ".join(
                str(one["cidr"]) for one, _ in look.fabric.connected(course.router_id)
            ),
        ),
        f"{OPENSTACK} router add subnet {course.router_id} {subnet.get('id') or 'SUBNET'}",
    )  # fmt: skip


def check_state(look: Look) -> Iterator[Verdict]:
    """Yield routers on the way that are administratively down, and ports of theirs."""
    require(look, "router")
    for router_id in routers_on(look):
        row = look.fabric.router(router_id) or {}
        if row.get("admin_state_up") is False:
            yield broken(
                "router.admin_down",
                subject("router", router_id),
                f"{router_of(look, router_id)} is administratively down",
                central(look, f"router {router_id} has admin_state_up=false"),
                f"{OPENSTACK} router set --enable {router_id}",
            )
    for passage in look.course.passages:
        for port in (passage.enters, passage.leaves):
            if port is not None and port.get("admin_state_up") is False:
                yield broken(
                    "router.interface_down",
                    subject("port", port["id"]),
                    f"the port of {router_of(look, passage.router_id)} on "
                    f"{network_of(look, str(port['network_id']))} ({port['id']}) is "
                    "administratively down",
                    central(look, f"port {port['id']} has admin_state_up=false"),
                    f"{OPENSTACK} port set --enable {port['id']}",
                )


def check_seen(look: Look) -> Iterator[Verdict]:
    """Say that a router on the way was not seen."""
    if look.course.halt is Halt.ROUTER_UNSEEN:
        router = look.course.about.get("router_id")
        raise TableNotSeenError(f"router {router} is on the way, and you may not see it")
    yield from ()


CHECKS = (
    Check(name="gateway of the subnet", group=WALK, hop=Hop.GATEWAY, run=check_first_hop,
          skips=by_a_router, needs=(Need.CENTRAL,)),
    Check(name="router state", hop=Hop.GATEWAY, run=check_state, skips=on_a_router,
          needs=(Need.CENTRAL,)),
    Check(name="routers that are seen", hop=Hop.ROUTE, run=check_seen, skips=by_a_router),
    Check(name="joined subnets", group=WALK, hop=Hop.ROUTE, run=check_joined, skips=by_a_router,
          needs=(Need.CENTRAL,)),
)  # fmt: skip
