"""Many hosts: groups of equal hardware, one plan for each group, and the odd ones out.

Two hosts are equal where a plan cannot tell them apart: cores and siblings, NUMA layout, ports with
their addresses and nodes, page sizes. Memory is equal within 2 %, since the kernel's own share
differs from boot to boot; a group's plan counts on the least memory of its members.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from isthmus.facts.cpuset import render_list
from isthmus.model.host.host_demand import HostDemand
from isthmus.model.host.host_inventory import HostInventory, Nic
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.alternatives import plan_or_alternatives
from isthmus.nfv.plan.demand import size_name
from isthmus.nfv.plan.resource.ports import SILENT_ON_VFS
from isthmus.nfv.plan.settings import PER_NODE_HUGEPAGES, is_at_least

MEMORY_TOLERANCE = 0.02
#: A group is an outlier where it has at most this share of the fleet and a larger one is near.
OUTLIER_SHARE = 0.05

Facets = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts of equal hardware."""

    name: str
    representative: HostInventory  #: what the plan is made for
    members: tuple[str, ...]
    facets: Facets  #: what makes it different, in words
    differs: tuple[str, ...] = ()  #: from the nearest larger group, where it is an outlier


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """One group and its plan."""

    group: Group
    outcome: HostPlan | Refusal


def describe(inventory: HostInventory) -> Facets:
    """Return all that a plan depends on but memory, in comparable words."""
    return (
        ("CPU vendor", inventory.cpu_vendor),
        (
            "cores",
            "; ".join(
                f"node {node}: "
                + " ".join(render_list(core.cpus) for core in inventory.cores_of(node))
                for node in inventory.node_ids
            ),
        ),
        ("distances", "; ".join(" ".join(map(str, node.distances)) for node in inventory.nodes)),
        ("ports", "; ".join(sorted(map(_describe_nic, inventory.nics)))),
        ("page sizes", ", ".join(map(size_name, inventory.page_sizes_kib))),
        (
            "huge pages by node on the kernel's line",
            "yes" if is_at_least(inventory.kernel_release, PER_NODE_HUGEPAGES) else "no",
        ),
        ("Open vSwitch", inventory.ovs_version),
        (
            "virtual functions",
            "not told by the source" if inventory.source in SILENT_ON_VFS else "told",
        ),
    )


def _describe_nic(nic: Nic) -> str:
    node = "?" if nic.node is None else nic.node
    kind = f"{nic.vendor_id}:{nic.product_id}"
    return f"{nic.name} {nic.pci_address} on node {node} {kind} {nic.max_vfs} VFs"


def group_fleet(inventories: Iterable[HostInventory]) -> tuple[Group, ...]:
    """Group hosts, the largest group first; each host is in exactly one."""
    by_facets: dict[Facets, list[HostInventory]] = {}
    for inventory in inventories:
        by_facets.setdefault(describe(inventory), []).append(inventory)
    found: list[tuple[Facets, list[HostInventory]]] = []
    for facets, hosts in by_facets.items():
        found += [(facets, part) for part in _split_by_memory(hosts)]
    found.sort(key=lambda one: (-len(one[1]), one[1][0].name))
    groups = [
        Group(
            name=f"group{number}",
            representative=_represent(hosts, f"group{number}"),
            members=tuple(sorted(host.name for host in hosts)),
            facets=(*facets, ("memory", _memory(hosts[0]))),
        )
        for number, (facets, hosts) in enumerate(found, start=1)
    ]
    total = sum(len(group.members) for group in groups)
    return tuple(_mark_outlier(group, groups, total) for group in groups)


def _split_by_memory(hosts: Sequence[HostInventory]) -> list[list[HostInventory]]:
    parts: list[list[HostInventory]] = []
    for host in sorted(hosts, key=lambda one: [node.memory_mib for node in one.nodes]):
        if parts and _near(parts[-1][0], host):
            parts[-1].append(host)
        else:
            parts.append([host])
    return parts


def _near(one: HostInventory, two: HostInventory) -> bool:
    return all(
        abs(a.memory_mib - b.memory_mib) <= MEMORY_TOLERANCE * max(a.memory_mib, b.memory_mib)
        for a, b in zip(one.nodes, two.nodes, strict=True)
    )


def _represent(hosts: Sequence[HostInventory], name: str) -> HostInventory:
    nodes = tuple(
        dataclasses.replace(node, memory_mib=min(host.nodes[index].memory_mib for host in hosts))
        for index, node in enumerate(hosts[0].nodes)
    )
    return dataclasses.replace(hosts[0], name=name, nodes=nodes)


def _memory(host: HostInventory) -> str:
    return ", ".join(f"node {node.id}: {node.memory_mib / 1024:.0f} GiB" for node in host.nodes)


def _mark_outlier(group: Group, groups: Sequence[Group], total: int) -> Group:
    if len(group.members) > max(1, OUTLIER_SHARE * total):
        return group
    larger = [one for one in groups if len(one.members) > len(group.members)]
    if not larger:
        return group

    def differences(other: Group) -> list[str]:
        pairs = zip(group.facets, other.facets, strict=True)
        return [
            f"{name}: {mine or 'not known'} instead of {theirs or 'not known'}"
            for (name, mine), (_, theirs) in pairs
            if mine != theirs
        ]

    nearest = min(larger, key=lambda one: (len(differences(one)), -len(one.members)))
    said = tuple(_shorten(text) for text in differences(nearest))
    return dataclasses.replace(group, differs=(f"nearest is {nearest.name}", *said))


def find_namesakes(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return the names by which more than one host goes: one that was given twice, mostly."""
    counts = Counter(name for group in groups for name in group.members)
    return tuple(sorted(name for name, count in counts.items() if count > 1))


def _shorten(text: str) -> str:
    return text if len(text) <= 300 else text[:297] + "..."


def plan_fleet(
    inventories: Iterable[HostInventory],
    demand: HostDemand,
    *,
    plan: Callable[[HostInventory, HostDemand], HostPlan | Refusal] = plan_or_alternatives,
) -> tuple[GroupPlan, ...]:
    """Plan every group once."""
    return tuple(
        GroupPlan(group, plan(group.representative, demand)) for group in group_fleet(inventories)
    )
