"""Virtual functions as Nova counts them: pools of equal devices, filtered by affinity.

Source:
    nova.pci.stats 34.0.0: `apply_requests`, `_filter_pools_for_numa_cells`,
    `_filter_pools_for_socket_affinity`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host.host_demand import Affinity


@dataclass(frozen=True, slots=True)
class Pool:
    """Free functions of one physical network on one node."""

    network: str
    node: int | None  #: None where firmware does not say
    count: int


@dataclass(frozen=True, slots=True)
class Request:
    """One function that an instance wants."""

    network: str
    affinity: Affinity


Pools = tuple[Pool, ...]


def take(
    pools: Pools,
    requests: Sequence[Request],
    nodes: Sequence[int],
    sockets: Mapping[int, int | None],
) -> Pools | None:
    """Claim one function for each request, in order.

    Args:
        pools: what is free, in the order in which Nova lists it.
        requests: what is wanted.
        nodes: nodes of the instance.
        sockets: node -> socket, None where not known.

    Returns:
        What is left, or None where a request cannot be met.
    """
    for request in requests:
        mine = [pool for pool in pools if pool.network == request.network and pool.count]
        chosen = _filter(mine, request.affinity, nodes, sockets)
        if not chosen:
            return None
        first = chosen[0]
        at = pools.index(first)
        less = dataclasses.replace(first, count=first.count - 1)
        pools = (*pools[:at], less, *pools[at + 1 :])
    return pools


def _filter(
    pools: list[Pool],
    affinity: Affinity,
    nodes: Sequence[int],
    sockets: Mapping[int, int | None],
) -> list[Pool]:
    """Filter the pools that a policy allows, nearer ones first."""
    near = [pool for pool in pools if pool.node in nodes]
    if affinity is Affinity.REQUIRED or near:
        return near
    if affinity is Affinity.SOCKET:
        if any(socket is None for socket in sockets.values()):
            return []
        mine = {sockets[node] for node in nodes}
        return [
            pool for pool in pools if pool.node is not None and sockets.get(pool.node, -1) in mine
        ]
    unknown = [pool for pool in pools if pool.node is None]
    if affinity is Affinity.LEGACY or unknown:
        return unknown
    return pools
