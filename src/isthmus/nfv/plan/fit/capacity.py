"""How many instances of a flavor fit: Nova's own placement, step by step.

The scheduler fits one instance after the other, most free node first; this module does the same on
plain numbers, so the count is what Nova will place, fragments included, and not what a sum over
the host promises. For one guest node that is the closed form (largest n with sum of min(c_i, n) >=
k * n); for two Nova can stay below it, since it takes the emptiest nodes first. The tests hold this
module against answers recorded from nova 34's `numa_fit_instance_to_host`.

Source:
    nova.virt.hardware: `numa_fit_instance_to_host`, `_numa_fit_instance_cell`,
    `_pack_instance_onto_cores`, `_numa_cells_support_network_metadata`; nova.pci.stats:
    `_filter_pools_for_numa_cells` (in `pools` here).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.facts.cpuset import parse_vcpus
from isthmus.model.host.host_demand import CpuPolicy, EmulatorThreads, FlavorDemand, ThreadPolicy
from isthmus.nfv.plan.demand import SMALL_KIB, page_kib
from isthmus.nfv.plan.fit.pools import MOST_INSTANCES, Pools, Request, take


@dataclass(slots=True)
class NodeSpace:
    """What is still free on one node."""

    node: int
    cores: list[int]  #: free threads of each dedicated core
    pages: dict[int, int]  #: page size in KiB -> free pages; SMALL_KIB too
    shared: float = 0.0  #: vCPUs that cpu_shared_set still takes
    shared_cpus: int = 0
    socket: int | None = 0
    threads: int = 0  #: the most threads that a core for instances has; 0: as `cores` has now
    used_shared: int = 0  #: vCPUs on cpu_shared_set
    memory_kib: int | None = None  #: free memory as Nova counts it; None: what is in pages

    def __post_init__(self) -> None:
        self.threads = self.threads or max(self.cores, default=0)

    def copy(self) -> "NodeSpace":
        """Return a room that can be filled on its own."""
        return NodeSpace(
            self.node,
            list(self.cores),
            dict(self.pages),
            self.shared,
            self.shared_cpus,
            self.socket,
            self.threads,
            self.used_shared,
            self.memory_kib,
        )

    @property
    def free_cpus(self) -> int:
        """Free dedicated CPUs."""
        return sum(self.cores)

    @property
    def free_kib(self) -> int:
        """Free memory, by which Nova sorts nodes."""
        if self.memory_kib is not None:
            return self.memory_kib
        return sum(size * count for size, count in self.pages.items())


@dataclass(frozen=True, slots=True)
class Ties:
    """What binds an instance to nodes, besides CPU and memory."""

    reach: Mapping[str, frozenset[int]] = field(default_factory=dict)  #: network -> nodes it needs
    functions: tuple[Request, ...] = ()  #: one for each virtual function


@dataclass(frozen=True, slots=True)
class Share:
    """What one guest node needs."""

    dedicated: int
    shared: int
    memory_kib: int


def shares_of(flavor: FlavorDemand) -> tuple[Share, ...]:
    """Split a flavor over its guest nodes, as Nova does: virtual CPUs in order, evenly."""
    each = flavor.vcpus // flavor.numa_nodes
    memory = flavor.ram_mib * 1024 // flavor.numa_nodes
    if flavor.cpu_policy is CpuPolicy.SHARED:
        pinned: frozenset[int] = frozenset()
    elif flavor.cpu_policy is CpuPolicy.MIXED:
        pinned = parse_vcpus(flavor.dedicated_vcpus or flavor.realtime_vcpus, flavor.vcpus)
    else:
        pinned = frozenset(range(flavor.vcpus))
    counts = [
        len(pinned & set(range(index * each, (index + 1) * each)))
        for index in range(flavor.numa_nodes)
    ]
    return tuple(Share(count, each - count, memory) for count in counts)


def fill(
    spaces: Sequence[NodeSpace],
    flavor: FlavorDemand,
    ties: Ties,
    *,
    pools: Pools = (),
    most: int = MOST_INSTANCES,
) -> tuple[int, list[NodeSpace], Pools]:
    """Place instances until none fits or `most` are placed.

    Args:
        spaces: what is free on each node; they are copied.
        flavor: of the instances.
        ties: what binds an instance to nodes, besides CPU and memory.
        pools: virtual functions that are free.
        most: how many instances to place at most.

    Returns:
        The count, and what is left of spaces and pools.
    """
    spaces = [space.copy() for space in spaces]
    placed = 0
    while placed < most:
        left = _place(spaces, flavor, ties, pools)
        if left is None:
            break
        pools = left
        placed += 1
    return placed, spaces, pools


def _place(spaces: list[NodeSpace], flavor: FlavorDemand, ties: Ties, pools: Pools) -> Pools | None:
    """Place one instance, or leave the spaces as they are; give the pools that are left."""
    if flavor.numa_nodes > len(spaces):
        return None
    search = Search(flavor, shares_of(flavor))
    sockets = {space.node: space.socket for space in spaces}
    for chosen in itertools.permutations(_in_order(spaces, flavor, ties, pools), flavor.numa_nodes):
        if not search.fits(chosen):
            continue
        nodes = [space.node for space in chosen]
        left = take(pools, ties.functions, nodes, sockets)
        if left is None or any(not reach & set(nodes) for reach in ties.reach.values() if reach):
            continue
        return left if search.commit(spaces, chosen) else None
    return None


@dataclass(slots=True)
class Search:
    """The search for the nodes of one instance, with what Nova remembers on its way.

    Three things of `numa_fit_instance_to_host` decide answers that a search without memory would
    give otherwise: the page size that `large` came to on the first node that had it is demanded of
    later ones; what fitted or did not is remembered by the pair of host node and guest node, where
    a guest node's id becomes that of the last host node that it fitted; and a remembered fit keeps
    the CPUs that were worked out last, so that one on another node is no placement: the claim
    fails, and the instance is not built.
    """

    flavor: FlavorDemand
    shares: tuple[Share, ...]
    sizes: dict[int, int] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    worked_out: dict[int, int] = field(default_factory=dict)  #: guest node -> host node
    fitting: set[tuple[int, int]] = field(default_factory=set)
    unfit: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ids = list(range(len(self.shares)))

    def fits(self, chosen: Sequence[NodeSpace]) -> bool:
        """Tell whether each guest node fits its host node, as far as Nova looks."""
        for index, space in enumerate(chosen):
            pair = (space.node, self.ids[index])
            if pair in self.unfit:
                return False
            if pair not in self.fitting:
                if not _fit_cell(space.copy(), self.flavor, self.shares[index], index, self.sizes):
                    self.unfit.add(pair)
                    self._note_pinned(space, index)
                    return False
                self.fitting.add(pair)
                self.worked_out[index] = space.node
            self.ids[index] = space.node
        return True

    def _note_pinned(self, space: NodeSpace, index: int) -> None:
        """Follow a mixed guest node that was pinned before shared CPUs turned out too few."""
        if self.flavor.cpu_policy is not CpuPolicy.MIXED:
            return
        ample = space.copy()
        ample.shared = float("inf")
        if _fit_cell(ample, self.flavor, self.shares[index], index, self.sizes):
            self.ids[index] = space.node
            self.worked_out[index] = space.node

    def commit(self, spaces: list[NodeSpace], chosen: Sequence[NodeSpace]) -> bool:
        """Claim what the instance needs, or nothing where its claim fails."""
        drafts = [space.copy() for space in chosen]
        for index, draft in enumerate(drafts):
            share = self.shares[index]
            if share.dedicated and self.worked_out.get(index) != draft.node:
                return False
            if not _fit_cell(draft, self.flavor, share, index, self.sizes):
                return False
        for draft in drafts:
            spaces[next(i for i, space in enumerate(spaces) if space.node == draft.node)] = draft
        return True


def _in_order(
    spaces: Sequence[NodeSpace], flavor: FlavorDemand, ties: Ties, pools: Pools
) -> list[NodeSpace]:
    """Sort nodes as Nova does: three stable sorts, the last one counts most."""
    if len(spaces) == flavor.numa_nodes:
        return list(spaces)
    ordered = sorted(spaces, key=lambda space: -space.free_kib)
    if flavor.cpu_policy is CpuPolicy.SHARED:
        ordered.sort(key=lambda space: space.used_shared)
    else:
        ordered.sort(key=lambda space: -space.free_cpus)
    counts = {space.node: 0 for space in spaces}
    for pool in pools:
        if pool.node in counts:
            counts[pool.node] += pool.count
    sign = -1 if ties.functions else 1
    ordered.sort(key=lambda space: sign * counts[space.node])
    return ordered


def _fit_cell(
    space: NodeSpace, flavor: FlavorDemand, share: Share, index: int, sizes: dict[int, int]
) -> bool:
    """Claim what one guest node needs: the `index`th; `sizes` are the page sizes so far."""
    size = _take_pages(space, flavor, share, sizes.get(index))
    if size is None:
        return False
    sizes[index] = size
    return _fit_cpus(space, flavor, share, index)


def _fit_cpus(space: NodeSpace, flavor: FlavorDemand, share: Share, index: int) -> bool:
    if share.shared > space.shared_cpus or share.shared > space.shared:
        return False
    space.shared -= share.shared
    space.used_shared += share.shared
    if flavor.cpu_policy is CpuPolicy.SHARED:
        return True
    isolated = flavor.emulator_threads is EmulatorThreads.ISOLATE and index == 0
    if not share.dedicated:
        # Nova finds no CPU for the emulator where no virtual CPU is pinned, looks for siblings also
        # for none, and takes no pinning at all (policy isolate) for one that it did not find.
        if flavor.thread_policy is ThreadPolicy.REQUIRE and not any(one > 1 for one in space.cores):
            return False
        return not isolated and flavor.thread_policy is not ThreadPolicy.ISOLATE
    return _take_cpus(space, share.dedicated, flavor.thread_policy, int(isolated))


def _take_pages(
    space: NodeSpace, flavor: FlavorDemand, share: Share, settled: int | None
) -> int | None:
    """Claim memory in pages of one size; return the size, or None if there is not enough."""
    need_kib = share.memory_kib
    wanted = settled or page_kib(flavor.page_size)
    sizes = (
        [wanted]
        if wanted is not None
        else sorted((size for size in space.pages if size != SMALL_KIB), reverse=True)
    )
    for size in sizes:
        if need_kib % size == 0 and space.pages.get(size, 0) * size >= need_kib:
            space.pages[size] -= need_kib // size
            if space.memory_kib is not None:
                space.memory_kib -= need_kib
            return size
    return None


def _take_cpus(space: NodeSpace, vcpus: int, policy: ThreadPolicy, extra: int) -> bool:
    """Claim CPUs, whole cores first; `extra` is the isolated emulator thread."""
    if space.free_cpus < vcpus + extra or not space.cores:
        return False
    if policy is ThreadPolicy.ISOLATE:
        # With hyper-threading Nova takes this policy to cpu_dedicated_set never, see
        # `plan.check_threads`; without it a core is a thread.
        return space.threads == 1 and _take_spread(space, vcpus + extra)
    if policy is ThreadPolicy.REQUIRE and space.threads <= 1:
        return False
    threads = max(space.cores, default=0)
    for depth in range(threads, 0, -1):
        if policy is ThreadPolicy.REQUIRE and depth == 1:
            break
        usable = [index for index, free in enumerate(space.cores) if free >= depth]
        if depth * len(usable) >= vcpus:
            return _take_packed(space, usable, depth, vcpus) and _take_spread(space, extra)
    return policy is not ThreadPolicy.REQUIRE and _take_spread(space, vcpus + extra)


def _take_packed(space: NodeSpace, usable: Sequence[int], depth: int, vcpus: int) -> bool:
    for index in usable:
        used = min(depth, vcpus)
        space.cores[index] -= used
        vcpus -= used
        if not vcpus:
            return True
    return False


def _take_spread(space: NodeSpace, cpus: int) -> bool:
    for index, free in enumerate(space.cores):
        used = min(free, cpus)
        space.cores[index] -= used
        cpus -= used
    return not cpus


def limiting(left: Sequence[NodeSpace], flavor: FlavorDemand, ties: Ties, pools: Pools = ()) -> str:
    """Explain why the next instance does not fit.

    Args:
        left: what is left once no further instance fits.
        flavor: its flavor.
        ties: what binds it to nodes.
        pools: the virtual functions that are left.
    """
    nodes = set.intersection(
        {space.node for space in left}, *(ties.reach.values() if flavor.numa_nodes == 1 else ())
    )
    if not nodes:
        return "NUMA affinity"
    able = _able(left, flavor, ties, pools)
    need = flavor.numa_nodes
    short_of = [name for name, fine in able.items() if len(fine & nodes) < need]
    if short_of:
        return " and ".join(short_of)
    if need == 1:
        return "CPUs here and memory there"
    return "NUMA affinity"


def _able(
    left: Sequence[NodeSpace], flavor: FlavorDemand, ties: Ties, pools: Pools
) -> dict[str, set[int]]:
    """Return the nodes that still have enough of each thing that an instance needs."""
    everywhere = {space.node for space in left}
    able: dict[str, set[int]] = {"CPUs": set(), "memory": set(), "virtual functions": set()}
    share = shares_of(flavor)[0]
    sockets = {space.node: space.socket for space in left}
    for space in left:
        draft = space.copy()
        if _take_pages(draft, flavor, share, None) is not None:
            able["memory"].add(space.node)
        if _fit_cpus(draft, flavor, share, 0):
            able["CPUs"].add(space.node)
        if take(pools, ties.functions, [space.node], sockets) is not None:
            able["virtual functions"].add(space.node)
    if flavor.numa_nodes > 1:
        # Functions of any of its nodes will do.
        enough = take(pools, ties.functions, sorted(everywhere), sockets) is not None
        able["virtual functions"] = everywhere if enough else set()
    return able
