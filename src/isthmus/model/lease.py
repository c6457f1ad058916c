"""Leases: blocks of addresses or port keys that one site alone gives out."""

import bisect
import enum
import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType

from isthmus import errors
from isthmus.model.site import SiteName

#: Numbers below this are IPv4 addresses where they are addresses at all.
_IPV4_END = 2**32

LeaseId = NewType("LeaseId", str)


class PoolKind(enum.StrEnum):
    """What a pool hands out."""

    SUBNET = "subnet"  #: addresses of a subnet; the pool's id is the subnet's
    PORT_KEY = "port_key"  #: OVN port tunnel keys of a network; the pool's id is the network's


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """A run of whole numbers, both ends included; addresses count as their integer value."""

    first: int
    last: int

    def __post_init__(self) -> None:
        assert self.first <= self.last, f"empty block {self.first}..{self.last}"

    @property
    def size(self) -> int:
        """How many numbers; not `len()`, which cannot count an IPv6 subnet."""
        return self.last - self.first + 1

    def __contains__(self, value: int) -> bool:
        return self.first <= value <= self.last

    def overlaps(self, other: "Block") -> bool:
        """Tell whether any number is in both."""
        return self.first <= other.last and other.first <= self.last


def show_number(kind: PoolKind, number: int) -> str:
    """Write a number of a pool as a person reads it: an address as such.

    >>> [show_number(PoolKind.SUBNET, one) for one in (167772162, 1 << 125)]
    ['10.0.0.2', '2000::']
    >>> show_number(PoolKind.PORT_KEY, 4097)
    '4097'
    """
    if kind is not PoolKind.SUBNET:
        return str(number)
    if number < _IPV4_END:
        return str(ipaddress.IPv4Address(number))
    return str(ipaddress.IPv6Address(number))


def find_block(blocks: Sequence[Block], number: int) -> int | None:
    """Return the place of the block that has a number; they are sorted and do not overlap."""
    at = bisect.bisect_right(blocks, number, key=_first) - 1
    return at if at >= 0 and number in blocks[at] else None


def _first(block: Block) -> int:
    return block.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A block of one pool in the hands of one site."""

    id: LeaseId
    kind: PoolKind
    pool_id: str
    site: SiteName
    block: Block
    #: The lease of which this was left above a part that went back; None: as it was granted.
    origin: LeaseId | None = None

    @property
    def root(self) -> LeaseId:
        """Return the id under which it was granted; numbers never come back to life under one."""
        return self.origin or self.id


class LeaseState(enum.StrEnum):
    """Where a lease of addresses stands in its life at the site that holds it."""

    ABSENT = "absent"  #: no row: not leased yet, or forgotten
    IN_USE = "in_use"  #: the site allocates from it
    SET_ASIDE = "set_aside"  #: it does so no more; central is to be told
    ACKNOWLEDGED = "acknowledged"  #: central has taken it; an older answer may still list it


class LeaseEvent(enum.StrEnum):
    """What happens to a lease that a site returns, or to a part of one.

    That central leases one, or revokes one that is in use, or that its subnet goes, is written in
    `isthmus.store.local.lease` where it happens: none of this touches what was set aside, but that
    everything goes with the subnet.
    """

    CUT_OUT = "cut_out"  #: a part of one in use goes back, under an id of its own
    SET_ASIDE = "set_aside"  #: the site stops to use it
    ACKNOWLEDGE = "acknowledge"  #: central answers that it has taken it
    FORGET = "forget"  #: no answer that lists it can be under way any more


#: What follows from what; what is not in it is refused. A lease that was set aside is never taken
#: into use again: an old answer of central's that lists it is passed over.
LEASE_TRANSITIONS: Mapping[tuple[LeaseState, LeaseEvent], LeaseState] = {
    (LeaseState.ABSENT, LeaseEvent.CUT_OUT): LeaseState.SET_ASIDE,
    (LeaseState.IN_USE, LeaseEvent.SET_ASIDE): LeaseState.SET_ASIDE,
    (LeaseState.SET_ASIDE, LeaseEvent.ACKNOWLEDGE): LeaseState.ACKNOWLEDGED,
    (LeaseState.ACKNOWLEDGED, LeaseEvent.ACKNOWLEDGE): LeaseState.ACKNOWLEDGED,
    (LeaseState.ACKNOWLEDGED, LeaseEvent.FORGET): LeaseState.ABSENT,
}


def next_state(state: LeaseState, event: LeaseEvent) -> LeaseState:
    """Return the state that follows.

    Raises:
        Inconsistent: this cannot happen to a lease in that state.
    """
    try:
        return LEASE_TRANSITIONS[state, event]
    except KeyError:
        raise errors.Inconsistent(
            f"a lease that is {state.value}: {event.value} cannot happen to it"
        ) from None


def rest_id(origin: str, first: int) -> LeaseId:
    """Return the id of what is left of a lease above a part that went back.

    Both tiers make it, so that nothing has to be said of it, nor in which order parts went.

    Args:
        origin: the id under which the lease was granted.
        first: the first number of the rest.
    """
    return LeaseId(str(uuid.uuid5(uuid.UUID(origin), str(first))))
