"""How many instances NUMA nodes and devices of hosts take: a closed form, else Nova step by step.

A guest of one node goes to any node that has all it needs, so the count is a sum over nodes; a
guest of as many nodes as the host has takes the same of each, so it is the least of them. Both are
worked out for all hosts at once. Anything else (more host nodes than guest nodes, mixed CPUs, an
emulator's own CPU beside siblings, PCI devices) is filled instance by instance as Nova does
(`isthmus.nfv.plan.fit.capacity`), once for hosts that are alike.

Source:
    nova.virt.hardware 34.0.0: `_numa_fit_instance_cell`, `numa_usage_from_instance_numa`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from isthmus.model.compute.cloud import UNBOUNDED, ComputeHost, Flavor
from isthmus.model.compute.device import (
    NO_RULES,
    DeviceRequest,
    DeviceRules,
    list_device_requests,
)
from isthmus.model.host.host_demand import CpuPolicy, ThreadPolicy
from isthmus.nfv.compute.device import parse_devices, plan_requests
from isthmus.nfv.compute.guest import LARGE, SMALL, Guest, plan_guest
from isthmus.nfv.compute.topology import Node, parse_topology
from isthmus.nfv.plan.demand import SMALL_KIB
from isthmus.nfv.plan.fit.capacity import NodeSpace, Ties, fill
from isthmus.nfv.plan.fit.pools import take_again

Counts = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Columns:
    """All nodes of all hosts, one row each."""

    host: Counts
    free: Counts
    dedicated: Counts
    pairs: Counts  #: cores with two free threads
    threads: Counts
    shared: Counts
    shared_left: npt.NDArray[np.float64]
    memory_left: npt.NDArray[np.float64]  #: by the RAM ratio
    small: Counts  #: size of the smallest page in KiB; 0 where the host has no page sizes
    small_free: Counts
    small_total: Counts
    pages: dict[int, Counts]  #: size -> free pages, -1 where the host has none of it


class NumaFit:
    """The NUMA nodes and PCI devices of many hosts, and what of them is free."""

    def __init__(self, hosts: Sequence[ComputeHost], rules: DeviceRules = NO_RULES) -> None:
        """Read them.

        Args:
            hosts: with what Nova says of them.
            rules: what aliases of devices stand for.

        Raises:
            ProtocolError: one is not as Nova writes it.
        """
        self._hosts = tuple(hosts)
        self._rules = rules
        self._nodes = [parse_topology(one.numa, host=one.name) for one in hosts]
        self._devices = [parse_devices(one.pci, host=one.name) for one in hosts]
        self._pools = [one.pools for one in self._devices]
        self._columns: _Columns | None = None
        self._known: dict[object, int] = {}

    def copy(self) -> Self:
        """Return one that can be filled on its own."""
        found = copy.copy(self)
        found._nodes = [list(nodes) for nodes in self._nodes]  # noqa: SLF001 - of the same class
        found._pools = list(self._pools)  # noqa: SLF001 - of the same class
        return found

    def count(self, flavor: Flavor) -> Counts:
        """Count for each host how many instances its nodes take; `UNBOUNDED` where none binds.

        Raises:
            Unsupported: Nova fits this flavor in a way that is not followed here.
            Invalid: the flavor makes no sense.
        """
        asked = list_device_requests(flavor.name, flavor.extra_specs, self._rules)
        guest = plan_guest(flavor)
        if guest is None and not asked:
            return np.full(len(self._hosts), UNBOUNDED, dtype=np.int64)
        if guest is None:
            return np.array(
                [self._fill(None, at, asked) for at in range(len(self._hosts))], dtype=np.int64
            )
        number = np.array([len(one) for one in self._nodes], dtype=np.int64)
        found = np.zeros(len(self._hosts), dtype=np.int64)
        if self._columns is None:
            self._columns = _lay_out(self._hosts, self._nodes)
        if not asked and _is_plain(guest, self._columns):
            each = _count_nodes(self._columns, guest)
            host = self._columns.host
            if guest.nodes == 1:
                return np.bincount(host, weights=each, minlength=len(found)).astype(np.int64)
            least = np.full(len(found), UNBOUNDED, dtype=np.int64)
            np.minimum.at(least, host, each)
            found = np.where(number == guest.nodes, least, 0)
            rest = np.flatnonzero(number > guest.nodes)
        else:
            rest = np.flatnonzero(number >= guest.nodes)
        for at in rest.tolist():
            found[at] = self._fill(guest, at, asked)
        return found

    def take(self, flavor: Flavor, hosts: Sequence[int], instances: Sequence[int]) -> None:
        """Fill nodes of hosts (by number) with so many instances each."""
        guest = plan_guest(flavor)
        asked = list_device_requests(flavor.name, flavor.extra_specs, self._rules)
        if guest is None and not asked:
            return
        for at, count in zip(hosts, instances, strict=True):
            requests = plan_requests(self._devices[at], asked)
            if guest is None:
                _, self._pools[at] = take_again(self._pools[at], requests, most=count)
                continue
            spaces = [_to_space(self._hosts[at], one, guest) for one in self._nodes[at]]
            _, left, self._pools[at] = fill(
                spaces,
                guest.to_demand(""),
                Ties(functions=requests),
                pools=self._pools[at],
                most=count,
            )
            self._nodes[at] = [
                _from_space(node, space, guest)
                for node, space in zip(self._nodes[at], left, strict=True)
            ]
        self._columns = None

    def _fill(self, guest: Guest | None, at: int, asked: Sequence[DeviceRequest]) -> int:
        host, pools = self._hosts[at], self._pools[at]
        requests = plan_requests(self._devices[at], asked)
        nodes = self._nodes[at] if guest else []
        key = (guest, host.cpu_ratio, host.ram_ratio, pools, requests, *(n.key() for n in nodes))
        if key not in self._known:
            if guest is None:
                self._known[key], _ = take_again(pools, requests)
            else:
                spaces = [_to_space(host, one, guest) for one in nodes]
                ties = Ties(functions=requests)
                self._known[key], _, _ = fill(spaces, guest.to_demand(""), ties, pools=pools)
        return self._known[key]


def _is_plain(guest: Guest, columns: _Columns) -> bool:
    """Tell whether the closed form holds for a guest, on hosts with as many nodes, or one."""
    if guest.threads is ThreadPolicy.REQUIRE and np.any(columns.threads > 2):
        return False
    if guest.policy is CpuPolicy.MIXED:
        return False
    if guest.isolated and (guest.nodes > 1 or guest.threads is ThreadPolicy.REQUIRE):
        return False
    # The size that `large` came to on one node is asked of the others too.
    return not (guest.pages == LARGE and guest.nodes > 1)


def _lay_out(hosts: Sequence[ComputeHost], nodes: Sequence[Sequence[Node]]) -> _Columns:
    rows = [(at, hosts[at], one) for at, many in enumerate(nodes) for one in many]
    small = [min(one.total_pages, default=0) for _, _, one in rows]
    sizes = {size for _, _, one in rows for size in one.pages}
    many = np.array(
        [
            (
                at,
                one.free,
                one.dedicated,
                sum(free >= 2 for free in one.cores),
                one.threads,
                one.shared,
                least,
                one.pages.get(least, 0) * least,
                one.total_pages.get(least, 0) * least,
            )
            for (at, _, one), least in zip(rows, small, strict=True)
        ],
        dtype=np.int64,
    ).reshape(-1, 9)
    columns = many.T
    return _Columns(
        host=columns[0],
        free=columns[1],
        dedicated=columns[2],
        pairs=columns[3],
        threads=columns[4],
        shared=columns[5],
        small=columns[6],
        small_free=columns[7],
        small_total=columns[8],
        shared_left=np.array(
            [one.shared * host.cpu_ratio - one.shared_used for _, host, one in rows]
        ),
        memory_left=np.array(
            [one.memory_mib * host.ram_ratio - one.used_mib for _, host, one in rows]
        ),
        pages={size: np.array([one.pages.get(size, -1) for _, _, one in rows]) for size in sizes},
    )


def _count_nodes(columns: _Columns, guest: Guest) -> Counts:
    """Count for each node how many guest nodes it takes."""
    cpus = (
        _count_dedicated(columns, guest)
        if guest.policy is CpuPolicy.DEDICATED
        else _count_shared(columns, guest)
    )
    return np.maximum(np.minimum(cpus, _count_memory(columns, guest)), 0)


def _count_dedicated(columns: _Columns, guest: Guest) -> Counts:
    need = guest.vcpus + guest.isolated
    if guest.threads is ThreadPolicy.REQUIRE:
        # Whole cores; of the last one a thread may stay unused.
        return np.where(columns.threads >= 2, columns.pairs // -(-guest.vcpus // 2), 0)
    found = columns.free // need
    if guest.threads is ThreadPolicy.ISOLATE:
        return np.where(columns.threads <= 1, found, 0)
    return found


def _count_shared(columns: _Columns, guest: Guest) -> Counts:
    by_cpus = np.floor(columns.shared_left / guest.vcpus)
    by_memory = np.floor(columns.memory_left / guest.ram_mib)
    found = np.maximum(np.minimum(by_cpus, by_memory), 0).astype(np.int64)
    return np.where(columns.shared >= guest.vcpus, found, 0)


def _count_memory(columns: _Columns, guest: Guest) -> Counts:
    need = guest.ram_mib * 1024
    if guest.pages == LARGE:
        found = np.zeros(len(columns.host), dtype=np.int64)
        for size, pages in columns.pages.items():
            if need % size == 0:
                several = np.where(size > columns.small, np.maximum(pages, 0), 0)
                found += several // (need // size)
        return found
    if isinstance(guest.pages, int):
        of_size = columns.pages.get(guest.pages)
        if of_size is None or need % guest.pages:
            return np.zeros(len(columns.host), dtype=np.int64)
        return np.maximum(of_size, 0) // (need // guest.pages)
    # Without a page size Nova takes the smallest pages, more than there are if CPUs are shared. A
    # host that reports none fails every claim.
    divides = (columns.small > 0) & (need % np.maximum(columns.small, 1) == 0)
    if guest.pages == SMALL or guest.policy is CpuPolicy.DEDICATED:
        return np.where(divides, columns.small_free // need, 0)
    return np.where(divides & (columns.small_total >= need), UNBOUNDED, 0)


def _to_space(host: ComputeHost, node: Node, guest: Guest) -> NodeSpace:
    """Return a node as the planner fills it."""
    # The RAM ratio binds guests with shared CPUs, whatever pages they have.
    within = int(node.memory_mib * host.ram_ratio - node.used_mib) * 1024 // SMALL_KIB
    pages = dict(node.pages)
    if guest.policy is CpuPolicy.SHARED:
        pages = {size: min(free, within * SMALL_KIB // size) for size, free in pages.items()}
    if not guest.pages:
        small = min(node.total_pages, default=0)
        need = guest.ram_mib * 1024
        fits = small and need % small == 0
        if guest.policy is CpuPolicy.SHARED:
            left = within if fits and node.total_pages[small] * small >= need else 0
        else:
            left = node.pages[small] * small // SMALL_KIB if fits else 0
        pages = {SMALL_KIB: max(left, 0)}
    return NodeSpace(
        node=node.id,
        cores=list(node.cores),
        pages=pages,
        shared=node.shared * host.cpu_ratio - node.shared_used,
        shared_cpus=node.shared,
        socket=node.socket,
        threads=node.threads,
        used_shared=node.shared_used,
        memory_kib=(node.memory_mib - node.used_mib) * 1024,
    )


def _from_space(node: Node, space: NodeSpace, guest: Guest) -> Node:
    """Return a node with what is left of it."""
    left = copy.copy(node)
    left.cores = list(space.cores)
    left.shared_used = space.used_shared
    left.used_mib = node.memory_mib - (space.memory_kib or 0) // 1024
    if guest.pages:
        left.pages = dict(space.pages)
    elif node.pages:
        small = min(node.total_pages)
        taken = (left.used_mib - node.used_mib) * 1024 // small
        left.pages = {**node.pages, small: node.pages[small] - taken}
    return left
