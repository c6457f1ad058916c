"""Last-level caches: cores that share one are kept together where they work together.

PMDs of one node hand packets to each other and share tables, so a plan keeps them in as few caches
as it can (on AMD a cache belongs to a CCX of 4 or 8 cores). For instances nobody does that: Nova
knows NUMA nodes and siblings, and no caches. So that is said, and firmware that shows each cache as
a NUMA node ("L3 as NUMA") is the way to it.
"""

from collections.abc import Mapping, Sequence

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import NodePlan, Note


def domain_of(inventory: host_inventory.HostInventory) -> dict[int, int]:
    """Map each CPU to the cache that it shares; empty where the caches are not known."""
    return {cpu: index for index, cache in enumerate(inventory.caches) for cpu in cache.cpus}


def pick_cores(
    inventory: host_inventory.HostInventory, cores: Sequence[host_inventory.Core], count: int
) -> tuple[host_inventory.Core, ...]:
    """Pick cores for PMDs: in as few caches as can be, else the first ones.

    Args:
        inventory: the host.
        cores: those that are still free on one node, ascending.
        count: how many are wanted.
    """
    domains = domain_of(inventory)
    groups: dict[int, list[host_inventory.Core]] = {}
    for core in cores:
        groups.setdefault(domains.get(core.cpus[0], -1), []).append(core)
    if len(groups) < 2 or count <= 0:
        return tuple(cores[:count])
    # One cache that holds all, the tightest; else whole caches, the largest first.
    fitting = [group for group in groups.values() if len(group) >= count]
    if fitting:
        return tuple(min(fitting, key=lambda group: (len(group), group[0].cpus))[:count])
    picked: list[host_inventory.Core] = []
    for group in sorted(groups.values(), key=lambda group: (-len(group), group[0].cpus)):
        picked += group[: count - len(picked)]
    return tuple(sorted(picked, key=lambda core: core.cpus))


def note_caches(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    nodes: Sequence[NodePlan],
) -> list[Note]:
    """Note where cores that work together do not share a cache."""
    domains = domain_of(inventory)
    found: list[Note] = []
    for node in nodes:
        used = {domains[cpu] for cpu in node.pmd_cpus if cpu in domains}
        if len(used) > 1:
            found.append(
                Note(
                    code="caches-pmd",
                    text=f"PMDs of node {node.id} are spread over {len(used)} last-level caches: "
                    "none has that many cores free",
                )
            )
    sizes = _largest(domains, nodes)
    crossing = sorted(
        flavor.name
        for flavor in demand.flavors
        if flavor.cpu_policy is not host_demand.CpuPolicy.SHARED
        and sizes
        and flavor.vcpus // flavor.numa_nodes > 1
    )
    if crossing:
        found.append(
            Note(
                code="caches-instances",
                text=f"a node has several last-level caches (of up to {sizes} CPUs for instances): "
                f"Nova knows none of them, so instances of {', '.join(crossing)} may be spread "
                "over two; firmware that shows each cache as a NUMA node keeps them together",
            )
        )
    return found


def _largest(domains: Mapping[int, int], nodes: Sequence[NodePlan]) -> int:
    """Return the most dedicated CPUs of one cache where a node has several; 0 where none has."""
    most = 0
    for node in nodes:
        counts: dict[int, int] = {}
        for cpu in node.dedicated_cpus:
            if cpu in domains:
                counts[domains[cpu]] = counts.get(domains[cpu], 0) + 1
        if len(counts) > 1:
            most = max(most, *counts.values())
    return most
