"""Where each hop of a way is, in words: the object, and the site that carries it."""

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.check.routed.words import name_of
from isthmus.diagnose.course import Halt, Kind
from isthmus.diagnose.question import Way
from isthmus.diagnose.route.fabric import Fabric
from isthmus.diagnose.route.legs import Legs


def describe(hop: Hop, legs: Legs, fabric: Fabric) -> str:
    """Return where a hop of a way is.

    Args:
        hop: the hop.
        legs: of the way, in order.
        fabric: what central has of routers.
    """
    one, other = legs[0].sender, legs[-1].receiver
    last = legs[-1].sender
    places = {
        Hop.SENDER_TAP: one.host,
        Hop.SENDER_PORT: one.id,
        Hop.SENDER_SWITCH: one.site,
        Hop.EGRESS: one.site,
        Hop.SHADOW: last.site,
        Hop.INGRESS: other.site,
        Hop.RECEIVER_SWITCH: other.site,
        Hop.RECEIVER_PORT: other.id,
        Hop.RECEIVER_TAP: other.host,
    }
    if hop in places:
        return places[hop]
    if hop is Hop.TUNNEL:
        return (
            "; ".join(
                f"{leg.sender.host} -> {leg.receiver.host}"
                for leg in legs
                if leg.sender.host and leg.receiver.host and leg.sender.host != leg.receiver.host
            )
            or "within one hypervisor"
        )
    return "; ".join(text for leg in legs if (text := _of_router(hop, leg, fabric)))


def _of_router(hop: Hop, leg: Way, fabric: Fabric) -> str:
    course, crosses = leg.course, leg.sender.site != leg.receiver.site
    if not course.needs_router or (course.kind is Kind.IN) is not (hop is Hop.ENTRY):
        return ""
    out = course.kind is Kind.OUT
    texts = {
        Hop.ENTRY: lambda: _entry(leg, fabric),
        Hop.GATEWAY: lambda: _gateway(leg, fabric),
        Hop.ROUTE: lambda: _routes(leg, fabric),
        Hop.TRANSIT: lambda: f"{leg.sender.site} -> {leg.receiver.site}" if crosses else "",
        Hop.EXIT: lambda: _exit(leg) if out else "",
        Hop.OUTSIDE: lambda: leg.packet.target if out else "",
    }
    return texts[hop]()


def _exit(leg: Way) -> str:
    translated = leg.course.translated
    as_ = f", {leg.packet.source} becomes {translated}" if translated else ""
    return f"{leg.receiver.site or 'no site'} on {leg.receiver.host or 'no host'}{as_}"


def _gateway(leg: Way, fabric: Fabric) -> str:
    if not leg.course.passages:
        return f"none at {leg.sender.site}"
    router_id = leg.course.passages[0].router_id
    return f"router {name_of(fabric.router(router_id), router_id)} at {leg.sender.site}"


def _routes(leg: Way, fabric: Fabric) -> str:
    found = []
    for passage in leg.course.passages:
        name = (fabric.router(passage.router_id) or {}).get("name") or passage.router_id
        via = f" via {passage.via}" if passage.via else ""
        found.append(f"{name}: {passage.route or 'default'}{via}")
    exit_ = leg.course.exit or {}
    if leg.course.halt is Halt.LEAVES and "next_hop" in exit_:
        found.append(f"{exit_['way']} to {exit_['site']} by {exit_['next_hop']}")
    return ", ".join(found)


def _entry(leg: Way, fabric: Fabric) -> str:
    course, end = leg.course, leg.sender
    router = name_of(fabric.router(course.router_id), course.router_id) or "no router"
    as_ = ""
    if course.translated:
        inside = leg.receiver.address if leg.receiver.is_port else "nothing"
        as_ = f", {course.translated} becomes {inside}"
    return f"router {router} at {end.site or 'no site'} on {end.host or 'no host'}{as_}"
