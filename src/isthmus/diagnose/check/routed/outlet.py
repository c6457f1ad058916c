"""By which site a leg leaves, as central has decided it, and why by none."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import Check, Hop, Look, Need, broken, degraded
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.check.routed.words import (
    by_a_router,
    central,
    network_of,
    require,
    router_of,
    subject,
)
from isthmus.diagnose.course import Halt, Kind
from isthmus.diagnose.question import family_of
from isthmus.diagnose.route.fabric import addresses
from isthmus.diagnose.world import Row, Source, TableNotSeenError
from isthmus.model.exits.plan import Lack
from isthmus.model.site import CENTRAL, SiteState
from isthmus.model.verdict import Verdict


def leaves(look: Look) -> str:
    """Return why a check of the way out does not apply."""
    if look.course.kind is not Kind.OUT:
        return "it does not leave by an exit"
    return "" if look.course.halt is Halt.LEAVES else "it does not come to an exit"


def is_gated(look: Look) -> str:
    """Return why a check of a gateway does not apply."""
    if look.course.kind not in (Kind.OUT, Kind.IN):
        return "it does not pass a gateway"
    return "" if look.course.router_id else "no router is known"


def plan_here(look: Look) -> Row | None:
    """Return what central has decided of the leg's router where the inner end is.

    Raises:
        TableNotSeenError: the person may not see it.
    """
    require(look, "router_exit")
    if look.fabric.plan(look.course.router_id) is None:
        raise TableNotSeenError(
            f"what central has decided of router {look.course.router_id} is not shown to you: that "
            "takes the role admin or isthmus_reader"
        )
    return look.fabric.plan_at(look.course.router_id, look.inner.site)


def check_place(look: Look) -> Iterator[Verdict]:
    """Yield a router that is not at the site where its packets come from."""
    router_id, site = look.course.router_id, look.inner.site
    plan = look.fabric.plan(router_id)
    if plan is None or not site or look.fabric.plan_at(router_id, site) is not None:
        return  # what is not shown, the check of the exit tells
    zones = (look.fabric.router(router_id) or {}).get("availability_zone_hints") or []
    yield broken(
        "router.not_at_site",
        subject("router", router_id, site),
        f"{router_of(look, router_id)} is not at site {site}, where port {look.inner.label} is"
        + (f": it is for zones {', '.join(map(str, zones))} alone" if zones else ""),
        central(look, f"router-exits of {router_id} names no site {site}"),
        f"isthmus network extend {look.inner.network_id} {site}; or a router without "
        f"--availability-zone-hint: {OPENSTACK} router show {router_id}",
    )


def check_exit(look: Look) -> Iterator[Verdict]:
    """Yield why packets leave by no site."""
    plan, router_id, site = plan_here(look), look.course.router_id, look.inner.site
    router, family = router_of(look, router_id), str(look.way.packet.family)
    if plan is None:
        return
    found: Row = (plan.get("exits") or {}).get(family) or {}
    seen = central(look, f"router-exits of {router_id}: at {site} IPv{family} {dict(found)}")
    gateways = (look.fabric.plan(router_id) or {}).get("gateways") or []
    of_family = [
        one for one in gateways
        if any(family_of(address) == int(family) for address in addresses(one))
    ]  # fmt: skip
    lack = found.get("lack") if found else Lack.NO_GATEWAY.value
    if lack is None:
        return
    if plan.get("state") == SiteState.DISABLED or lack == Lack.NO_SITE.value:
        where = site if plan.get("state") == SiteState.DISABLED else _disabled(look)
        yield broken(
            "exit.site_disabled",
            subject("router", router_id, site),
            f"{router} leaves by no site: site {where}, which has its gateway, is disabled",
            seen,
            f"isthmus site enable {where}",
        )
    elif lack == Lack.NO_TRANSIT.value:
        yield broken(
            "exit.no_transit",
            subject("router", router_id, site),
            f"{router} has no address on its transit network at site {site} or at its exit",
            seen,
            f"{OPENSTACK} router set --description sent-again {router_id}",
        )
    elif not gateways:
        yield broken(
            "router.no_gateway",
            subject("router", router_id),
            f"{router} of port {look.inner.label} has no gateway on an external network",
            seen,
            f"{OPENSTACK} router set --external-gateway EXTERNAL_NETWORK {router_id}",
        )
    elif not of_family:
        yield broken(
            "router.no_gateway_of_family",
            subject("router", router_id),
            f"{router} has a gateway, and no IPv{family} address on it",
            seen,
            f"{OPENSTACK} subnet create --ip-version {family} --network "
            f"{gateways[0]['network_id']} --subnet-range PREFIX NAME; then set the gateway again",
        )
    else:
        network_id = str(of_family[0]["network_id"])
        subnets = [
            one for one in look.fabric.subnets(network_id)
            if one.get("ip_version") == int(family) and not one.get("gateway_ip")
        ]  # fmt: skip
        subnet = str(subnets[0]["id"]) if subnets else "SUBNET"
        yield broken(
            "external.no_next_hop",
            subject("network", network_id),
            f"external {network_of(look, network_id)} has no IPv{family} gateway, so {router} "
            "has no next hop there",
            seen,
            f"{OPENSTACK} subnet set --gateway ADDRESS {subnet}",
        )


def _disabled(look: Look) -> str:
    rows = look.fabric.plan(look.course.router_id) or {}
    found = [
        str(one["site"]) for one in rows.get("sites") or ()
        if one.get("state") == SiteState.DISABLED
    ]  # fmt: skip
    return found[0] if found else "SITE"


def check_heard(look: Look) -> Iterator[Verdict]:
    """Yield an exit at a site that central does not hear."""
    gate = look.gate
    if gate is None or not gate.site or gate.site == look.inner.site:
        return
    row = look.world.find(Source.CENTRAL, CENTRAL, "site", name=gate.site) or {}
    if row.get("state") == SiteState.DRAINING:
        yield degraded(
            "exit.draining",
            subject("site", gate.site),
            f"packets of port {look.inner.label} leave by site {gate.site}, which is draining",
            central(look, f"site {gate.site} has state=draining"),
            f"give the router a gateway at another site: {OPENSTACK} router add gateway "
            f"{look.course.router_id} EXTERNAL_NETWORK",
        )


def check_seat(look: Look) -> Iterator[Verdict]:
    """Yield a leg that comes in to a gateway that is nowhere."""
    course, router_id = look.course, look.course.router_id
    plan_here(look)
    for gateway in (look.fabric.plan(router_id) or {}).get("gateways") or ():
        of_leg = course.floating is None or course.floating.get(
            "floating_network_id"
        ) == gateway.get("network_id")
        if gateway.get("site") is None and of_leg and not (look.gate and look.gate.site):
            yield broken(
                "exit.seat_lost",
                subject("port", gateway["id"]),
                f"the gateway of {router_of(look, router_id)} on "
                f"{network_of(look, str(gateway['network_id']))} is nowhere: every site of the "
                "network is disabled",
                central(look, f"router-exits of {router_id}: gateway {gateway['id']} site=null"),
                f"isthmus site enable {_disabled(look)}",
            )


def check_external(look: Look) -> Iterator[Verdict]:
    """Yield an external network that is down."""
    gate = look.gate
    gateway = look.fabric.gateway_at(look.course.router_id, gate.site) if gate else None
    network = look.fabric.network(str((gateway or {}).get("network_id"))) or {}
    if network.get("admin_state_up") is False:
        yield broken(
            "external.admin_down",
            subject("network", network["id"]),
            f"external {network_of(look, str(network['id']))} is administratively down",
            central(look, "the network has admin_state_up=false"),
            f"{OPENSTACK} network set --enable {network['id']}",
        )


def check_outside(look: Look) -> Iterator[Verdict]:
    """Say that what lies outside of an exit is not looked at."""
    gate = look.gate
    if gate is not None and gate.site:
        raise TableNotSeenError(
            f"what lies outside of site {gate.site}, and its way back to "
            f"{look.course.translated or look.inner.address}, is not looked at"
        )
    yield from ()


CHECKS = (
    Check(name="place of the router", hop=Hop.GATEWAY, run=check_place, skips=by_a_router,
          needs=(Need.CENTRAL,)),
    Check(name="exit", hop=Hop.EXIT, run=check_exit, skips=leaves, needs=(Need.CENTRAL,)),
    Check(name="seat of the gateway", hop=Hop.EXIT, run=check_seat, skips=is_gated,
          needs=(Need.CENTRAL,)),
    Check(name="external network", hop=Hop.EXIT, run=check_external, skips=is_gated,
          needs=(Need.CENTRAL,)),
    Check(name="site of the exit", hop=Hop.EXIT, run=check_heard, skips=is_gated,
          needs=(Need.CENTRAL,)),
    Check(name="outside", hop=Hop.OUTSIDE, run=check_outside, vital=False,
          skips=lambda look: leaves(look) or ("it turns round" if look.course.turns else "")),
)  # fmt: skip
