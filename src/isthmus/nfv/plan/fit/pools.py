"""Virtual functions and other devices as Nova counts them: pools of equal ones, by affinity.

Source:
    nova.pci.stats 34.0.0: `apply_requests`, `_filter_pools_for_numa_cells`,
    `_filter_pools_for_socket_affinity`.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host.host_demand import Affinity


@dataclass(frozen=True, slots=True)
class Pool:
    """Free functions of one physical network on one node, or devices of one kind."""

    network: str  #: or the kind
    node: int | None  #: None where firmware does not say
    count: int
    card: str = ""  #: empty where it can be asked for in one way only: as functions, or whole
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """Functions that an instance wants, or devices."""

    network: str
    affinity: Affinity
    count: int = 1
    among: frozenset[str] = frozenset()  #: kinds that will do as well

    def takes(self, pool: Pool) -> bool:
        """Tell whether a pool has what is wanted."""
        return pool.network == self.network or pool.network in self.among


Pools = tuple[Pool, ...]

#: Nobody puts more on one host; stops counting where a flavor needs next to nothing.
MOST_INSTANCES = 4096


def take(
    pools: Pools,
    requests: Sequence[Request],
    nodes: Sequence[int] | None,
    sockets: Mapping[int, int | None],
) -> Pools | None:
    """Claim what requests want, in order.

    Args:
        pools: what is free, in the order in which Nova lists it.
        requests: what is wanted.
        nodes: nodes of the instance; None where it is bound to none.
        sockets: node -> socket, None where not known.

    Returns:
        What is left, or None where a request cannot be met.
    """
    for request in requests:
        mine = [at for at, pool in enumerate(pools) if pool.count and request.takes(pool)]
        chosen = mine if nodes is None else _filter(pools, mine, request, nodes, sockets)
        left, rest = request.count, list(pools)
        for at in chosen:
            taken = min(left, rest[at].count)
            rest[at] = dataclasses.replace(rest[at], count=rest[at].count - taken)
            left -= taken
            if taken and rest[at].card:
                _close_card(rest, rest[at])
        if left:
            return None
        pools = tuple(rest)
    return pools


def _close_card(pools: list[Pool], taken: Pool) -> None:
    """Let go what a card can no longer be: functions of one that is taken, or the whole."""
    for at, pool in enumerate(pools):
        if pool.card == taken.card and (taken.is_whole != pool.is_whole):
            pools[at] = dataclasses.replace(pool, count=0)


def take_again(
    pools: Pools, requests: Sequence[Request], *, most: int = MOST_INSTANCES
) -> tuple[int, Pools]:
    """Claim for one instance after another, none of which is bound to nodes.

    Args:
        pools: what is free.
        requests: of each instance.
        most: how many instances at most.

    Returns:
        How many there was enough for, and what is left.
    """
    for count in range(most):
        left = take(pools, requests, None, {})
        if left is None:
            return count, pools
        pools = left
    return most, pools


def _filter(
    pools: Pools,
    mine: list[int],
    request: Request,
    nodes: Sequence[int],
    sockets: Mapping[int, int | None],
) -> list[int]:
    """Filter the pools, by position, that a policy allows; nearer ones first."""

    def among(allowed: Collection[int | None]) -> list[int]:
        return [at for at in mine if pools[at].node in allowed]

    def are_enough(chosen: list[int]) -> bool:
        return sum(pools[at].count for at in chosen) >= request.count

    near = among(nodes)
    if request.affinity is Affinity.REQUIRED or are_enough(near):
        return near
    if request.affinity is Affinity.SOCKET:
        if any(socket is None for socket in sockets.values()):
            return []
        own = {sockets[node] for node in nodes}
        return among([node for node, socket in sockets.items() if socket in own])
    known = among([*nodes, None])
    if request.affinity is Affinity.LEGACY or are_enough(known):
        return known
    return sorted(mine, key=lambda at: at not in known)
