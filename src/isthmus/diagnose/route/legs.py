"""A question in legs: each leg lies between two ends in one form of the packet. Pure.

A way that leaves by an exit ends there, with the packet as it was sent; a way that comes in by a
gateway begins there, with the packet as it is translated. Checks of ports, rules, tunnels and rows
then look at a leg, whatever it is a part of.
"""

from dataclasses import dataclass, replace

from isthmus.diagnose.course import SWITCHED, Course, Halt, Kind, Passage
from isthmus.diagnose.question import (
    Direction,
    End,
    EndKind,
    Packet,
    Service,
    Way,
    family_of,
    plan_ways,
)
from isthmus.diagnose.route.fabric import Fabric, addresses, inside_port
from isthmus.diagnose.route.walk import Walk, walk
from isthmus.diagnose.world import Row, World

Legs = tuple[Way, ...]


def plan_legs(
    world: World, source: End, target: End, service: Service, family: int
) -> tuple[Legs, Legs]:
    """Return the legs of the way there and of the way back.

    Args:
        world: what was seen.
        source: who begins.
        target: who is to be reached.
        service: what behind it.
        family: IP version, 4 or 6.
    """
    planner = _Planner(Fabric(world), service, family)
    there = planner.there(source, target)
    return there, planner.back(there)


def is_switched(fabric: Fabric, source: End, target: End) -> bool:
    """Tell whether two ports reach each other on one network, without a router."""
    if not (source.is_port and target.is_port) or source.network_id != target.network_id:
        return False
    if target.floating is not None:
        return False
    subnets = [fabric.subnet_of(one.network_id, one.address) for one in (source, target)]
    return None in subnets or subnets[0] == subnets[1]


@dataclass(frozen=True, slots=True)
class _Planner:
    fabric: Fabric
    service: Service
    family: int

    def there(self, source: End, target: End) -> Legs:
        if source.kind is EndKind.OUTSIDE:
            return self._split(self._come_in(source.address, target))
        if is_switched(self.fabric, source, target):
            return (self._leg(source, target, SWITCHED),)
        if target.kind is EndKind.OUTSIDE or target.floating is not None:
            wanted = str(target.floating["floating_ip_address"]) if target.floating else ""
            out = self._go_out(source, wanted or target.address, target)
            if target.kind is EndKind.OUTSIDE:
                return (out,)
            into = self._come_in(out.course.translated or source.address, target)
            if out.receiver.site and out.receiver.site == into.sender.site:
                out, into = (replace(x, course=replace(x.course, turns=True)) for x in (out, into))
            return (out, *self._split(into))
        found = self._walk(source, target.address)
        course = _course(Kind.ROUTED, found, self.fabric, source, self.family)
        return self._split(self._leg(source, target, course))

    def back(self, there: Legs) -> Legs:
        first, last = there[0], there[-1]
        if first.course.kind in (Kind.ROUTED, Kind.CROSS) and last.receiver.is_port:
            return self._split(self._return(last.receiver, first.sender, last))
        # A part of a leg that goes on over a transit network is answered with the leg.
        whole = [one for one in there if one.sender.kind is not EndKind.ROUTER]
        return tuple(x for one in reversed(whole) for x in self._split(self._reply(one)))

    def _return(self, sender: End, receiver: End, leg: Way) -> Way:
        """Return the leg of a reply that stays inside: it goes as its own sender's routers say."""
        found = self._walk(sender, receiver.address)
        course = _course(Kind.ROUTED, found, self.fabric, sender, self.family)
        return Way(Direction.BACK, sender, receiver, self._answer(leg), course, leg.packet)

    def _reply(self, leg: Way) -> Way:
        sender, receiver = leg.receiver, leg.sender
        kind = leg.course.kind
        if kind is Kind.OUT:
            course = replace(leg.course, kind=Kind.IN, passages=(), exit=None)
        elif kind is Kind.IN and sender.is_port:
            return self._go_out(sender, receiver.address, receiver, request=leg)
        else:
            course = leg.course
        return Way(Direction.BACK, sender, receiver, self._answer(leg), course, leg.packet)

    def _split(self, leg: Way) -> Legs:
        """Return the parts of a leg: over transit where the receiver's network is not present."""
        course, target = leg.course, leg.receiver
        comes_in = course.kind is Kind.IN
        if not (comes_in or (course.kind is Kind.ROUTED and course.halt is Halt.ARRIVED)):
            return (leg,)
        crossing = self._crossing(course.router_id, leg.sender.site, target)
        if crossing is None:
            return (leg,)
        last, *before = [*course.passages[::-1]] or [
            Passage(router_id=course.router_id, enters=None)
        ]
        # Its port on the receiver's network is at the site where that is.
        here = (*reversed(before), replace(last, leaves=None))
        arrives = Course(
            kind=Kind.ROUTED, router_id=course.router_id, passages=(replace(last, enters=None),)
        )
        parts = (
            replace(leg, receiver=crossing, course=replace(course, kind=Kind.CROSS, passages=here)),
            replace(leg, sender=replace(crossing, passes_on=leg.sender.port), course=arrives),
        )
        if not comes_in:
            return parts
        gate = replace(crossing, site=leg.sender.site, host=leg.sender.host)
        over = Course(kind=Kind.CROSS, router_id=course.router_id)
        return (
            replace(leg, course=replace(course, crosses=True)),
            replace(parts[0], sender=gate, course=over),
            parts[1],
        )

    def _crossing(self, router_id: str, site: str, target: End) -> End | None:
        """Return the router at the site by which a subnet is reached that is not present here."""
        plan = self.fabric.plan_at(router_id, site)
        subnet = self.fabric.subnet_of(target.network_id, target.address) if target.id else None
        if plan is None or subnet is None:
            return None
        for route in plan.get("routes") or ():
            if route["purpose"] == "subnet" and route["destination"] == subnet["cidr"]:
                other = str(route["site"])
                return End(
                    asked=target.asked,
                    port={},
                    site=other,
                    host=self._arrives(plan, other),
                    address=target.address,
                    kind=EndKind.ROUTER,
                    router_id=router_id,
                )
        return None

    def _arrives(self, plan: Row, site: str) -> str:
        for peer in (plan.get("transit") or {}).get("peers") or ():
            if peer["site"] == site and peer.get("hypervisor"):
                return str(peer["hypervisor"]["hostname"])
        return ""

    def _go_out(self, end: End, target: str, other: End, request: Way | None = None) -> Way:
        """Return the leg from a port to the exit that its packets take."""
        found = self._walk(end, target)
        router_id = found.router_id or (request.course.router_id if request else "")
        plan = self.fabric.plan_at(router_id, end.site)
        exit_ = ((plan or {}).get("exits") or {}).get(str(self.family))
        site = str((exit_ or {}).get("site") or "")
        own = self.fabric.floating_of(end) if self.family == 4 else None
        if request is not None:
            own = request.course.floating
        needs_policy = False
        if own is not None:
            decided = self.fabric.decided(own) or {}
            at = str(decided.get("site") or (request.sender.site if request else ""))
            needs_policy = bool(at and site and at != site)
            site = at or site
        gateway = self.fabric.gateway_at(router_id, site)
        course = Course(
            kind=Kind.OUT,
            passages=found.passages,
            halt=found.halt,
            about=found.about or {},
            router_id=router_id,
            exit=exit_,
            floating=own,
            forwarding=request.course.forwarding if request else None,
            translated=self._translated(own, gateway),
            turns=request is not None and request.course.turns,
            needs_policy=needs_policy,
        )
        outside = End(
            asked=other.asked,
            port={},
            site=site,
            host=self.fabric.gateway_host(router_id, site) if site else "",
            address=target,
            kind=EndKind.OUTSIDE,
            router_id=router_id,
        )
        if request is None:
            return self._leg(end, outside, course)
        return Way(Direction.BACK, end, outside, self._answer(request), course, request.packet)

    def _translated(self, own: Row | None, gateway: Row | None) -> str:
        if self.family == 6:
            return ""
        if own is not None:
            return str(own["floating_ip_address"])
        if gateway is None or not gateway.get("enable_snat", True):
            return ""
        return next((one for one in addresses(gateway) if family_of(one) == 4), "")

    def _come_in(self, source: str, target: End) -> Way:
        """Return the leg from the gateway that answers for a port to the port."""
        floating = target.floating
        service, forwarding = self.service, None
        if floating is None and self.family == 4:
            floating = self.fabric.floating_of(target)
        if self.family == 4 and (floating is None or not floating.get("port_id")):
            wanted = {"floating_ip_id": floating["id"]} if floating else {"port_id": target.id}
            forwarding = self.fabric.forwarding(service, **wanted)
            if forwarding is not None:
                floating = self.fabric.floating(forwarding["floating_ip_id"]) or floating
                inside = inside_port(forwarding, service.port or 0)
                service = Service(service.protocol, inside)
        router_id, site = self._entry(target, floating, forwarding)
        has_way = floating is not None or self.family == 6
        course = Course(
            kind=Kind.IN,
            halt=Halt.ARRIVED if has_way else Halt.NO_FLOATING,
            router_id=router_id,
            floating=floating,
            forwarding=forwarding,
            translated=str((floating or {}).get("floating_ip_address") or ""),
        )
        outside = End(
            asked=target.asked,
            port={},
            site=site,
            host=self.fabric.gateway_host(router_id, site) if site else "",
            address=source,
            kind=EndKind.OUTSIDE,
            router_id=router_id,
        )
        return self._leg(outside, target, course, service)

    def _entry(self, target: End, floating: Row | None, forwarding: Row | None) -> tuple[str, str]:
        """Return the router and the site by which packets come in to a port."""
        if forwarding is not None:
            plan = next(
                (p for p in self.fabric.plans() if forwarding in (p.get("forwardings") or ())), {}
            )
            return str(plan.get("id") or ""), str(forwarding.get("site") or "")
        if floating is not None:
            decided = self.fabric.decided(floating) or {}
            return str(floating.get("router_id") or ""), str(decided.get("site") or "")
        found = self._walk(target, _SOMEWHERE[self.family])
        plan = self.fabric.plan_at(found.router_id, target.site) or {}
        exit_ = (plan.get("exits") or {}).get(str(self.family)) or {}
        return found.router_id, str(exit_.get("site") or "")

    def _walk(self, end: End, target: str) -> Walk:
        return walk(self.fabric, end.network_id, end.address, target)

    def _leg(
        self, sender: End, receiver: End, course: Course, service: Service | None = None
    ) -> Way:
        there, _ = plan_ways(sender, receiver, service or self.service, self.family)
        return replace(there, course=course)

    def _answer(self, leg: Way) -> Packet:
        asked = leg.packet
        service = Service(asked.protocol, asked.target_port)
        _, back = plan_ways(leg.sender, leg.receiver, service, self.family)
        return back.packet


#: Addresses that stand for anything outside: for documentation alone (RFC 5737, RFC 3849).
_SOMEWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}


def somewhere(family: int) -> str:
    """Return the address that stands for anything outside."""
    return _SOMEWHERE[family]


def _course(kind: Kind, found: Walk, fabric: Fabric, source: End, family: int) -> Course:
    plan = fabric.plan_at(found.router_id, source.site)
    return Course(
        kind=kind,
        passages=found.passages,
        halt=found.halt,
        about=found.about or {},
        router_id=found.router_id,
        exit=((plan or {}).get("exits") or {}).get(str(family)),
    )
