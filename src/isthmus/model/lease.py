"""Leases: blocks of addresses or port keys that one site alone gives out."""

import enum
import uuid
from dataclasses import dataclass
from typing import NewType

from isthmus.model.site import SiteName

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


def rest_id(origin: str, first: int) -> LeaseId:
    """Return the id of what is left of a lease above a part that went back.

    Both tiers make it, so that nothing has to be said of it, nor in which order parts went.

    Args:
        origin: the id under which the lease was granted.
        first: the first number of the rest.
    """
    return LeaseId(str(uuid.uuid5(uuid.UUID(origin), str(first))))
