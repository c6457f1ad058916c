"""From an address through routers towards another one, by Neutron's subnets and routes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.diagnose.course import Halt, Passage
from isthmus.diagnose.route.fabric import Fabric, addresses, holds, length
from isthmus.diagnose.world import Row

#: More routers than this in a row are taken for a loop; a packet has 64 hops.
MOST_ROUTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The routers on the way, and where it ends."""

    passages: tuple[Passage, ...] = ()
    halt: Halt = Halt.ARRIVED
    about: Mapping[str, Any] | None = None

    @property
    def router_id(self) -> str:
        """Return the last router."""
        return self.passages[-1].router_id if self.passages else ""


def walk(fabric: Fabric, network_id: str, source: str, target: str) -> Walk:
    """Walk from an address of a network towards another address, as a guest and routers would.

    Args:
        fabric: what was seen of routers.
        network_id: where the packet is sent.
        source: the address that it is sent from.
        target: the address that it is sent to.
    """
    subnet = fabric.subnet_of(network_id, source)
    if subnet is None:
        return Walk(halt=Halt.NO_SUBNET, about={"network_id": network_id, "address": source})
    if holds(subnet["cidr"], target):
        return Walk()
    via, told = _leave_guest(subnet, target)
    if not via:
        return Walk(halt=Halt.NO_GATEWAY_IP, about={"subnet": subnet})
    about: dict[str, Any] = {"subnet": subnet, "address": via, "told_by": told}
    enters = fabric.owner(network_id, via)
    if enters is not None:
        return _through(fabric, enters, target, about)
    joins = [one for one in fabric.joins(network_id) if _is_on(one, subnet)]
    if told == "host route" or not joins:
        halt = Halt.NEXT_HOP_DEAD if told == "host route" else Halt.NO_ROUTER
        return Walk(halt=halt, about=about)
    return Walk(halt=Halt.GATEWAY_ELSEWHERE, about={**about, "port": joins[0]})


def _leave_guest(subnet: Row, target: str) -> tuple[str, str]:
    """Return the next hop of a guest, and whether a host route or the gateway names it."""
    best = _longest(
        (route["destination"], str(route["nexthop"])) for route in subnet.get("host_routes") or ()
        if holds(route["destination"], target)
    )  # fmt: skip
    if best is not None:
        return best[1], "host route"
    return str(subnet.get("gateway_ip") or ""), "gateway"


def _through(fabric: Fabric, first: Row, target: str, about: Mapping[str, Any]) -> Walk:
    enters, passages = first, list[Passage]()
    while True:
        passage, halt, more = _pass(fabric, enters, target, [one.router_id for one in passages])
        passages += [passage] if passage is not None else []
        if halt is not None:
            return Walk(passages=tuple(passages), halt=halt, about={**about, **more})
        enters, about = more["port"], more


def _pass(
    fabric: Fabric, enters: Row, target: str, passed: Sequence[str]
) -> tuple[Passage | None, Halt | None, dict[str, Any]]:
    """Go through one router; gives where that ends, or the port that the packet comes to next.

    Args:
        fabric: what was seen of routers.
        enters: the port that has the packet's next hop.
        target: the address that the packet is sent to.
        passed: routers that it has gone through.
    """
    router_id = str(enters.get("device_id") or "")
    if not str(enters.get("device_owner") or "").startswith("network:router"):
        return None, Halt.THROUGH_SERVER, {"port": enters}
    if len(passed) == MOST_ROUTERS or router_id in passed:
        return None, Halt.LOOP, {"router_id": router_id, "port": enters}
    here = Passage(router_id=router_id, enters=enters, route=target)
    if any(target in addresses(port) for port in fabric.interfaces(router_id)):
        return here, Halt.ARRIVED, {}
    router = fabric.router(router_id)
    if router is None:
        return here, Halt.ROUTER_UNSEEN, {"router_id": router_id}
    return _follow(fabric, router, enters, target)


def _follow(
    fabric: Fabric, router: Row, enters: Row, target: str
) -> tuple[Passage, Halt | None, dict[str, Any]]:
    """Follow the route of a router."""
    passage, on = _route(fabric, router, enters, target)
    if not passage.via:
        halt = Halt.ARRIVED if passage.leaves is not None else Halt.LEAVES
        return passage, halt, {}
    more = {"router_id": router["id"], "address": passage.via, "destination": passage.route}
    if on is None or passage.leaves is None:
        return passage, Halt.NEXT_HOP_NOWHERE, more
    onwards = fabric.owner(str(passage.leaves["network_id"]), passage.via)
    if onwards is None:
        seen = fabric.has("next_hop_port")
        return passage, Halt.NEXT_HOP_DEAD if seen else Halt.ROUTER_UNSEEN, more
    return passage, None, {**more, "port": onwards}


def _route(fabric: Fabric, router: Row, enters: Row, target: str) -> tuple[Passage, Row | None]:
    """Choose the route of a router: the longest prefix; of equals one that it joins itself."""
    router_id = str(router["id"])
    near = [
        (subnet["cidr"], (subnet, port))
        for subnet, port in fabric.connected(router_id)
        if holds(subnet["cidr"], target)
    ]
    extra = [
        (route["destination"], str(route["nexthop"]))
        for route in router.get("routes") or ()
        if holds(route["destination"], target)
    ]
    one, other = _longest(near), _longest(extra)
    if one is not None and (other is None or length(one[0]) >= length(other[0])):
        subnet, port = one[1]
        route = str(one[0])
        return Passage(router_id=router_id, enters=enters, leaves=port, route=route), subnet
    if other is None:
        return Passage(router_id=router_id, enters=enters), None
    for subnet, port in fabric.connected(router_id):
        if holds(subnet["cidr"], other[1]):
            hop = Passage(
                router_id=router_id, enters=enters, leaves=port, route=str(other[0]), via=other[1]
            )
            return hop, subnet
    lost = Passage(router_id=router_id, enters=enters, route=str(other[0]), via=other[1])
    return lost, None


def _longest(found: Iterable[tuple[Any, Any]]) -> tuple[Any, Any] | None:
    return max(found, key=lambda one: length(one[0]), default=None)


def _is_on(port: Row, subnet: Row) -> bool:
    return any(one.get("subnet_id") == subnet["id"] for one in port.get("fixed_ips") or ())
