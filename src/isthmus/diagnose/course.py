"""What a leg of a way goes through: routers, the exit, translations. Values only."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.diagnose.world import Row


class Kind(enum.StrEnum):
    """What lies between the two ends of a leg."""

    SWITCHED = "switched"  #: one network
    ROUTED = "routed"  #: routers, inside
    OUT = "out"  #: routers, and an exit of the last one
    IN = "in"  #: the gateway of a router, from outside
    CROSS = "cross"  #: the transit network of a router


class Halt(enum.StrEnum):
    """Where a way through routers ends."""

    ARRIVED = "arrived"  #: on a subnet that the last router joins, or at the router itself
    LEAVES = "leaves"  #: by the default route of the last router
    NO_SUBNET = "no subnet"  #: the sender's address is on no subnet that was seen
    NO_GATEWAY_IP = "no gateway"
    NO_ROUTER = "no router"
    GATEWAY_ELSEWHERE = "gateway elsewhere"  #: a router joins, by another address
    THROUGH_SERVER = "through a server"
    NEXT_HOP_NOWHERE = "next hop nowhere"  #: on no subnet that the router joins
    NEXT_HOP_DEAD = "next hop dead"  #: no port has it
    LOOP = "loop"
    NO_FLOATING = "no floating IP"  #: nothing outside can address the receiver
    ROUTER_UNSEEN = "router not seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One router that a packet goes through."""

    router_id: str
    enters: Row | None  #: its port on the network that the packet comes from
    leaves: Row | None = None  #: its port on the network that the packet goes to
    route: str = ""  #: destination of the route that it takes; empty for the default one
    via: str = ""  #: next hop of that route


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one leg goes through."""

    kind: Kind = Kind.SWITCHED
    passages: tuple[Passage, ...] = ()
    halt: Halt = Halt.ARRIVED
    #: What the halt is about: subnet, port, address, router_id.
    about: Mapping[str, Any] = field(default_factory=dict)
    router_id: str = ""  #: whose exit or gateway it is
    exit: Row | None = None  #: as central has decided it for the site where the sender is
    floating: Row | None = None  #: the floating IP that the inside end has on this leg
    forwarding: Row | None = None  #: the port forwarding
    translated: str = ""  #: the address by which the inside end is known outside
    turns: bool = False  #: it leaves and comes in by one gateway, and goes not outside
    needs_policy: bool = False  #: a reply leaves by another exit than its site has
    crosses: bool = (
        False  #: it goes on over the transit network: the receiver's is not present here
    )

    @property
    def needs_router(self) -> bool:
        """Tell whether a router is on the leg, or should be."""
        return self.kind is not Kind.SWITCHED


#: Nothing lies between: one network.
SWITCHED = Course()
