"""How many instances of a flavor fit: Nova's own placement, step by step.

The scheduler fits one instance after the other, most free node first; this module does the same on
plain numbers, so the count is what Nova will place, fragments included, and not what a sum over
the host promises. For one guest node that is the closed form (largest n with sum of min(c_i, n) >=
k * n); for two Nova can stay below it, since it takes the emptiest nodes first. The tests hold this
module against answers recorded from nova 34's `numa_fit_instance_to_host`.

Source:
    nova.virt.hardware: `numa_fit_instance_to_host`, `_numa_fit_instance_cell`,
    `_pack_instance_onto_cores`, `_numa_cells_support_network_metadata`.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.model.nfv_intent import CpuPolicy, EmulatorThreads, FlavorWish, ThreadPolicy
from isthmus.nfv.plan.intent import SMALL_KIB, page_kib

#: Nobody puts more on one host; stops counting where a flavor needs next to nothing.
MOST_INSTANCES = 4096


@dataclass(slots=True)
class Room:
    """What is still free on one node."""

    node: int
    cores: list[int]  #: free threads of each dedicated core
    pages: dict[int, int]  #: page size in KiB -> free pages; SMALL_KIB too
    shared: float = 0.0  #: vCPUs that cpu_shared_set still takes
    shared_cpus: int = 0
    vfs: Counter[str] = field(default_factory=Counter)  #: physical network -> free functions

    def copy(self) -> "Room":
        """Give a room that can be filled on its own."""
        return Room(
            self.node,
            list(self.cores),
            dict(self.pages),
            self.shared,
            self.shared_cpus,
            Counter(self.vfs),
        )

    @property
    def free_cpus(self) -> int:
        """Free dedicated CPUs."""
        return sum(self.cores)

    @property
    def free_kib(self) -> int:
        """Free memory in pages of any size."""
        return sum(size * count for size, count in self.pages.items())


@dataclass(frozen=True, slots=True)
class Ties:
    """What binds an instance to nodes, besides CPU and memory."""

    reach: Mapping[str, frozenset[int]] = field(default_factory=dict)  #: network -> nodes it needs
    vfs: Mapping[str, int] = field(default_factory=dict)  #: network -> functions per instance
    strict_vfs: bool = True  #: functions must sit on the instance's nodes


def fill(
    rooms: Sequence[Room], flavor: FlavorWish, ties: Ties, *, most: int = MOST_INSTANCES
) -> tuple[int, list[Room]]:
    """Place instances until none fits or `most` are placed; give the count and what is left."""
    rooms = [room.copy() for room in rooms]
    placed = 0
    while placed < most and _place(rooms, flavor, ties):
        placed += 1
    return placed, rooms


def _place(rooms: list[Room], flavor: FlavorWish, ties: Ties) -> bool:
    """Place one instance, or leave the rooms as they are."""
    if flavor.cpu_policy is CpuPolicy.SHARED and flavor.page_size == "small":
        return _float(rooms, flavor)
    if flavor.numa_nodes > len(rooms):
        return False
    # Nova writes the page size that `large` came to on the first node it looks at into the request,
    # and holds later nodes to it; so does this.
    sizes: dict[int, int] = {}
    for chosen in itertools.permutations(_in_order(rooms, flavor, ties), flavor.numa_nodes):
        if _place_on(rooms, chosen, flavor, ties, sizes):
            return True
    return False


def _place_on(
    rooms: list[Room],
    chosen: Sequence[Room],
    flavor: FlavorWish,
    ties: Ties,
    sizes: dict[int, int],
) -> bool:
    nodes = {room.node for room in chosen}
    drafts = [room.copy() for room in chosen]
    for index, draft in enumerate(drafts):
        if not _fit_cell(draft, flavor, index, sizes):
            return False
    if any(not nodes & reach for reach in ties.reach.values() if reach):
        return False
    others = [] if ties.strict_vfs else [room.copy() for room in rooms if room.node not in nodes]
    if not _take_vfs([*drafts, *others], ties.vfs):
        return False
    for draft in [*drafts, *others]:
        at = next(i for i, room in enumerate(rooms) if room.node == draft.node)
        rooms[at] = draft
    return True


def _in_order(rooms: Sequence[Room], flavor: FlavorWish, ties: Ties) -> list[Room]:
    """Sort nodes as Nova does: three stable sorts, the last one counts most."""
    if len(rooms) == flavor.numa_nodes:
        return list(rooms)
    ordered = sorted(rooms, key=lambda room: -room.free_kib)
    if flavor.cpu_policy is CpuPolicy.DEDICATED:
        ordered.sort(key=lambda room: -room.free_cpus)
    else:
        ordered.sort(key=lambda room: -room.shared)
    if any(sum(room.vfs.values()) for room in rooms):
        sign = -1 if ties.vfs else 1
        ordered.sort(key=lambda room: sign * sum(room.vfs.values()))
    return ordered


def _fit_cell(room: Room, flavor: FlavorWish, index: int, sizes: dict[int, int]) -> bool:
    """Take what one guest node needs; `index` is which, `sizes` the page sizes settled so far."""
    size = _take_pages(room, flavor, sizes.get(index))
    if size is None:
        return False
    sizes[index] = size
    return _fit_cpus(room, flavor, index)


def _fit_cpus(room: Room, flavor: FlavorWish, index: int) -> bool:
    vcpus = flavor.vcpus // flavor.numa_nodes
    if flavor.cpu_policy is CpuPolicy.SHARED:
        if vcpus > room.shared_cpus or vcpus > room.shared:
            return False
        room.shared -= vcpus
        return True
    isolated = flavor.emulator_threads is EmulatorThreads.ISOLATE and index == 0
    return _take_cpus(room, vcpus, flavor.thread_policy, int(isolated))


def _take_pages(room: Room, flavor: FlavorWish, settled: int | None) -> int | None:
    """Take memory in pages of one size; give the size, or None where there is not enough."""
    need_kib = flavor.ram_mib * 1024 // flavor.numa_nodes
    wanted = settled or page_kib(flavor.page_size)
    sizes = (
        [wanted]
        if wanted is not None
        else sorted((size for size in room.pages if size != SMALL_KIB), reverse=True)
    )
    for size in sizes:
        if need_kib % size == 0 and room.pages.get(size, 0) * size >= need_kib:
            room.pages[size] -= need_kib // size
            return size
    return None


def _take_cpus(room: Room, vcpus: int, policy: ThreadPolicy, extra: int) -> bool:
    """Take CPUs of whole cores first; `extra` is the isolated emulator thread."""
    if room.free_cpus < vcpus + extra or not room.cores:
        return False
    threads = max(room.cores, default=0)
    if policy is ThreadPolicy.ISOLATE:
        # On a host with hyper-threading Nova takes this policy to cpu_dedicated_set never, see
        # `plan.check_threads`; without it a core is a thread.
        return _take_spread(room, vcpus + extra)
    for depth in range(threads, 0, -1):
        if policy is ThreadPolicy.REQUIRE and depth == 1:
            break
        usable = [index for index, free in enumerate(room.cores) if free >= depth]
        if depth * len(usable) >= vcpus:
            return _take_packed(room, usable, depth, vcpus) and _take_spread(room, extra)
    return policy is not ThreadPolicy.REQUIRE and _take_spread(room, vcpus + extra)


def _take_packed(room: Room, usable: Sequence[int], depth: int, vcpus: int) -> bool:
    for index in usable:
        used = min(depth, vcpus)
        room.cores[index] -= used
        vcpus -= used
        if not vcpus:
            return True
    return False


def _take_spread(room: Room, cpus: int) -> bool:
    for index, free in enumerate(room.cores):
        used = min(free, cpus)
        room.cores[index] -= used
        cpus -= used
    return not cpus


def _take_vfs(drafts: Sequence[Room], needs: Mapping[str, int]) -> bool:
    for network, need in needs.items():
        left = need
        for draft in drafts:
            used = min(left, draft.vfs[network])
            draft.vfs[network] -= used
            left -= used
        if left:
            return False
    return True


def _float(rooms: list[Room], flavor: FlavorWish) -> bool:
    """Place an instance without NUMA topology: it may take from all nodes at once."""
    need = flavor.ram_mib * 1024
    if flavor.vcpus > sum(room.shared for room in rooms):
        return False
    if need > sum(room.pages.get(SMALL_KIB, 0) * SMALL_KIB for room in rooms):
        return False
    vcpus = float(flavor.vcpus)
    pages = -(-need // SMALL_KIB)
    for room in rooms:
        used = min(room.shared, vcpus)
        room.shared -= used
        vcpus -= used
        taken = min(room.pages.get(SMALL_KIB, 0), pages)
        room.pages[SMALL_KIB] = room.pages.get(SMALL_KIB, 0) - taken
        pages -= taken
    return True


def closed_form(per_node: Sequence[int], guest_nodes: int) -> int:
    """Give the largest n with sum of min(c_i, n) >= k * n; c_i is what one node alone holds."""
    low, high = 0, sum(per_node) // max(guest_nodes, 1)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(one, middle) for one in per_node) >= guest_nodes * middle:
            low = middle
        else:
            high = middle - 1
    return low


def limiting(left: Sequence[Room], flavor: FlavorWish, ties: Ties) -> str:
    """Say what keeps the next instance out.

    Args:
        left: what is left once no further instance fits.
        flavor: its flavor.
        ties: what binds it to nodes.
    """
    if flavor.cpu_policy is CpuPolicy.SHARED and flavor.page_size == "small":
        short = flavor.vcpus > sum(room.shared for room in left)
        return "CPUs" if short else "memory"
    nodes = set.intersection(
        {room.node for room in left}, *(ties.reach.values() if flavor.numa_nodes == 1 else ())
    )
    if not nodes:
        return "NUMA affinity"
    able = _able(left, flavor, ties)
    need = flavor.numa_nodes
    short_of = [name for name, fine in able.items() if len(fine & nodes) < need]
    if short_of:
        return " and ".join(short_of)
    if need == 1:
        return "CPUs here and memory there"
    return "NUMA affinity"


def _able(left: Sequence[Room], flavor: FlavorWish, ties: Ties) -> dict[str, set[int]]:
    """Give, for each thing that an instance needs, the nodes that still have enough of it."""
    everywhere = {room.node for room in left}
    able: dict[str, set[int]] = {"CPUs": set(), "memory": set(), "virtual functions": set()}
    for room in left:
        draft = room.copy()
        if _take_pages(draft, flavor, None) is not None:
            able["memory"].add(room.node)
        if _fit_cpus(draft, flavor, 0):
            able["CPUs"].add(room.node)
        if _take_vfs([draft], ties.vfs):
            able["virtual functions"].add(room.node)
    if not ties.strict_vfs or flavor.numa_nodes > 1:
        # Functions of any node will do, or of one of its nodes.
        enough = _take_vfs([room.copy() for room in left], ties.vfs)
        able["virtual functions"] = everywhere if enough else set()
    return able
