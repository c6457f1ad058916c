"""Translations as central has decided them: floating IPs, source translation, the way back."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import Check, Hop, Look, Need, broken
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.routed.outlet import leaves, plan_here
from isthmus.diagnose.check.routed.words import (
    central,
    network_of,
    require,
    router_of,
    subject,
    with_a_floating_ip,
)
from isthmus.diagnose.course import Halt, Kind
from isthmus.diagnose.route.fabric import addresses, holds
from isthmus.diagnose.world import Row, TableNotSeenError
from isthmus.model.exits.plan import Lack
from isthmus.model.verdict import Verdict


def _label(floating: Row) -> str:
    return f"floating IP {floating.get('floating_ip_address')} ({floating.get('id')})"


def check_addressed(look: Look) -> Iterator[Verdict]:
    """Yield a receiver that nothing outside can address."""
    require(look, "floatingip")
    if look.course.halt is not Halt.NO_FLOATING:
        return
    found = look.fabric.forwardings(port_id=look.receiver.id)
    if found:
        yield _not_forwarded(look, found)
        return
    yield broken(
        "floating.none",
        subject("port", look.receiver.id),
        f"port {look.receiver.label} has no floating IP: nothing outside can address "
        f"{look.receiver.address}",
        central(look, f"no floating IP has port_id={look.receiver.id}"),
        f"{OPENSTACK} floating ip create --port {look.receiver.id} {_external(look)}",
    )


def _external(look: Look) -> str:
    """Return the external network that the receiver's router has a gateway on."""
    gateways = (look.fabric.plan(look.course.router_id) or {}).get("gateways") or ()
    return str(next((one["network_id"] for one in gateways), "EXTERNAL_NETWORK"))


def _not_forwarded(look: Look, found: list[Row]) -> Verdict:
    one = found[0]
    held = ", ".join(f"{row['protocol']} {row['ports']}" for row in found)
    if look.service.port is None:
        return broken(
            "forwarding.no_ping",
            subject("floatingip", one["floating_ip_id"]),
            f"floating IP {one['address']} forwards ports alone, and {look.service} has none: it "
            "answers nobody",
            central(look, f"port forwardings of it: {held}"),
            f"ask for a port that is forwarded: isthmus why ... {one['protocol']}/"
            f"{str(one['ports']).partition(':')[0]}",
        )
    return broken(
        "forwarding.none",
        subject("floatingip", one["floating_ip_id"]),
        f"no port forwarding of floating IP {one['address']} takes {look.service}",
        central(look, f"port forwardings of it: {held}"),
        f"{OPENSTACK} floating ip port forwarding create --internal-ip-address "
        f"{one['fixed_address']} --port {one['port_id']} --internal-protocol-port "
        f"{look.service.port} --external-protocol-port {look.service.port} --protocol "
        f"{look.service.protocol} {one['floating_ip_id']}",
    )


def check_floating(look: Look) -> Iterator[Verdict]:
    """Yield a floating IP that leads nowhere."""
    floating: Row = look.course.floating or {}
    floating_id = floating.get("id")
    if look.course.forwarding is not None:
        yield from _check_idle(look, look.course.forwarding, "forwarding", floating)
        return
    if not floating.get("port_id"):
        found = look.fabric.forwardings(floating_ip_id=floating_id)
        if found:
            yield _not_forwarded(look, found)
            return
        yield broken(
            "floating.no_port",
            subject("floatingip", floating_id),
            f"{_label(floating)} belongs to no port",
            central(look, f"floating IP {floating_id} has port_id=None"),
            f"{OPENSTACK} floating ip set --port PORT {floating_id}",
        )
        return
    if floating.get("fixed_ip_address") not in addresses(look.inner.port) and look.inner.id:
        yield broken(
            "floating.fixed_gone",
            subject("floatingip", floating_id),
            f"{_label(floating)} leads to {floating.get('fixed_ip_address')}, which port "
            f"{look.inner.label} has no more",
            central(look, f"the port has {', '.join(addresses(look.inner.port)) or 'none'}"),
            f"{OPENSTACK} floating ip set --port {floating.get('port_id')} {floating_id}",
        )
    if floating.get("status") == "DOWN":
        yield broken(
            "floating.down",
            subject("floatingip", floating_id),
            f"{_label(floating)} is DOWN",
            central(look, f"floating IP {floating_id} has status=DOWN"),
            f"{OPENSTACK} floating ip unset --port {floating_id} && {OPENSTACK} floating ip set "
            f"--port {floating.get('port_id')} {floating_id}",
        )
    if not floating.get("router_id"):
        return
    decided = look.fabric.decided(floating)
    if decided is None:
        plan_here(look)
        raise TableNotSeenError(f"router-exits of {floating['router_id']} lacks {floating_id}")
    yield from _check_idle(look, decided, "floating", floating)


def _check_idle(look: Look, decided: Row, kind: str, floating: Row) -> Iterator[Verdict]:
    """Yield why central has decided that a floating IP, or a forwarding of one, does not work."""
    idle = decided.get("idle")
    if idle is None:
        return
    router_id = look.course.router_id
    code, remedy = {
        Lack.NO_GATEWAY_ON_NETWORK.value: (
            "no_gateway",
            f"{OPENSTACK} router add gateway {router_id} {decided.get('network_id')}",
        ),
        Lack.NO_SUBNET.value: (
            "no_interface",
            f"{OPENSTACK} router add subnet {router_id} "
            f"{_subnet_id(look, str(decided.get('fixed_address')))}",
        ),
        Lack.NO_SITE.value: ("no_site", "isthmus site enable SITE"),
        Lack.NO_TRANSIT.value: (
            "no_transit",
            f"{OPENSTACK} router set --description sent-again {router_id}",
        ),
        Lack.OTHER_WAY.value: (
            "other_way",
            f"{OPENSTACK} floating ip set --port {decided.get('port_id')} --fixed-ip-address "
            f"ANOTHER {floating.get('id')}",
        ),
    }.get(str(idle), ("idle", f"isthmus router show {router_id}"))
    yield broken(
        f"{kind}.{code}",
        subject("floatingip", floating.get("id")),
        f"{_label(floating)} leads nowhere: {idle} ({router_of(look, router_id)})",
        central(look, f"router-exits of {router_id}: {decided.get('id')} idle={idle!r}"),
        remedy,
    )


def _subnet_id(look: Look, address: str) -> str:
    rows = look.fabric.subnets(look.inner.network_id)
    return str(next((one["id"] for one in rows if holds(one.get("cidr"), address)), "SUBNET"))


def check_snat(look: Look) -> Iterator[Verdict]:
    """Yield a private source that leaves as it is."""
    course, site = look.course, look.gate.site if look.gate else ""
    if look.way.packet.family != 4 or course.translated or not site:
        return
    gateway = look.fabric.gateway_at(course.router_id, site)
    if gateway is None:
        plan_here(look)
        return
    if gateway.get("enable_snat") is False:
        yield broken(
            "snat.off",
            subject("router", course.router_id, site),
            f"{router_of(look, course.router_id)} does not translate sources at its exit at site "
            f"{site}, and port {look.inner.label} has no floating IP: nothing outside knows the "
            f"way back to {look.inner.address}",
            central(look, f"gateway {gateway.get('id')} has enable_snat=false"),
            f"{OPENSTACK} router set --external-gateway {gateway.get('network_id')} --enable-snat "
            f"{course.router_id}; or: {OPENSTACK} floating ip create --port {look.inner.id} "
            f"{gateway.get('network_id')}",
        )


def check_networks(look: Look) -> Iterator[Verdict]:
    """Yield a floating IP of another external network than the router has a gateway on."""
    floating: Row = look.course.floating or {}
    router_id = str(floating.get("router_id") or "")
    plan = look.fabric.plan(router_id)
    if plan is None or not floating.get("port_id"):
        return
    network_id = floating.get("floating_network_id")
    gateways = [one.get("network_id") for one in plan.get("gateways") or ()]
    decided = look.fabric.decided(floating)
    if network_id not in gateways and (decided is None or decided.get("idle") is None):
        yield broken(
            "floating.other_network",
            subject("floatingip", floating.get("id")),
            f"{_label(floating)} is on {network_of(look, str(network_id))}, and "
            f"{router_of(look, router_id)} has no gateway there",
            central(look, f"its gateways are on {', '.join(map(str, gateways)) or 'none'}"),
            f"{OPENSTACK} router add gateway {router_id} {network_id}",
        )


def check_owner(look: Look) -> Iterator[Verdict]:
    """Yield a floating IP of another router than the one by which its port's packets leave."""
    course = look.course
    owner = str((course.floating or {}).get("router_id") or "")
    if course.kind is Kind.OUT and owner and course.router_id and owner != course.router_id:
        yield broken(
            "return.other_router",
            subject("port", look.inner.id),
            f"replies of port {look.inner.label} leave by {router_of(look, course.router_id)}, its "
            f"gateway, and {_label(course.floating or {})} is of {router_of(look, owner)}",
            central(look, f"floating IP router_id={owner}; the gateway's is {course.router_id}"),
            f"give the guest the other router as its gateway: {OPENSTACK} subnet set --gateway "
            "ADDRESS SUBNET; or use a floating IP of its own router",
        )


def check_return(look: Look) -> Iterator[Verdict]:
    """Yield a reply that would leave by another exit than its request came in by."""
    course = look.course
    plan = plan_here(look)
    if not course.needs_policy or course.floating is None or plan is None:
        return
    floating_id = course.floating.get("id")
    policies = [*(plan.get("policies") or ())]
    policies += [one["replies"] for one in plan.get("forwarded") or () if one.get("replies")]
    if not any(one.get("floating_ip_id") == floating_id for one in policies):
        exit_ = course.exit or {}
        yield broken(
            "return.other_exit",
            subject("floatingip", floating_id),
            f"replies of port {look.inner.label} leave by site {exit_.get('site')}, and "
            f"{_label(course.floating)} is at site {look.gate.site if look.gate else '-'}",
            central(look, f"router-exits of {course.router_id}: no policy at {look.inner.site}"),
            f"{OPENSTACK} router set --description sent-again {course.router_id}",
        )


#: Comes before the exit of the wrong router.
OWNER = Check(
    name="router of the floating IP", hop=Hop.EXIT, run=check_owner, skips=with_a_floating_ip,
    needs=(Need.CENTRAL,),
)  # fmt: skip
CHECKS = (
    Check(name="addressed from outside", hop=Hop.EXIT, run=check_addressed, needs=(Need.CENTRAL,),
          skips=lambda look: "" if look.course.kind is Kind.IN else "it does not come in"),
    Check(name="floating IP", hop=Hop.EXIT, run=check_floating, skips=with_a_floating_ip,
          needs=(Need.CENTRAL,)),
    Check(name="network of the floating IP", hop=Hop.EXIT, run=check_networks,
          skips=with_a_floating_ip, needs=(Need.CENTRAL,)),
    Check(name="source translation", hop=Hop.EXIT, run=check_snat, skips=leaves,
          needs=(Need.CENTRAL,)),
    Check(name="way back", hop=Hop.EXIT, run=check_return, skips=leaves, needs=(Need.CENTRAL,)),
)  # fmt: skip
