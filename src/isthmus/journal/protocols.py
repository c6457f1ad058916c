"""What the journal's engine needs from the world.

The same engine delivers central's lanes towards the sites (Xjob) and a site's lane towards central
(the relay thread of the local Neutron); only these four things differ.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from isthmus.model.intent import Batch, IntentKey, Settlement
from isthmus.model.item import Item, ItemResult
from isthmus.model.site import SiteName


class Clock(Protocol):
    """A clock of this process, a parameter so that tests own it.

    Only this process measures by it; what several decide by a time is the store's business.
    """

    def seconds(self) -> float:
        """Return a monotonic time in seconds, from an arbitrary origin."""


class Store(Protocol):
    """The journal's rows; every call is a transaction of its own.

    Raises:
        Transient: the database is busy or away; nothing was changed.
    """

    def claim(self, lane: SiteName, *, owner: str, claim_s: float, limit: int) -> Batch:
        """Claim due intents of a lane, in their order.

        Return none while another owner holds unexpired claims in the lane: the order of work holds
        for a lane as a whole, so one worker at a time delivers it.

        Args:
            lane: whose intents.
            owner: who claims.
            claim_s: seconds after which the claims expire.
            limit: how many to claim at most.
        """

    def release(self, lane: SiteName, *, owner: str) -> None:
        """Release what an owner has claimed of a lane: it will never settle it."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """End claims: acknowledge, put back or park them, all in one transaction."""

    def go_on_above(self, lane: SiteName, seen: int) -> None:
        """Number the lane's next batches above what the other side has seen, if they are not.

        Raises:
            ProtocolError: that is no batch's number.
        """


class Source(Protocol):
    """Where the wanted state is read, at the moment of acting."""

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        """Read what is wanted of these objects at that lane now.

        Raises:
            Transient: it cannot be read now.
            IsthmusError: the answer is of no use.
        """


class Carrier(Protocol):
    """The way to the other side."""

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        """Carry items, in their order, and give a result for each.

        Args:
            lane: to whom.
            items: what.
            sequence: number of the batch; the other side refuses one older than it has seen.

        Raises:
            Unreachable: nobody answered, or the breaker is open; nothing is known to be taken.
            TimedOut: no answer in time; anything may have been taken.
            IsthmusError: the batch as a whole was refused.
        """
