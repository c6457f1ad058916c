"""Who gets which CPU: host, shared, PMD, instances; whole cores only, so siblings stay together.

On each node the first cores are the host's (the kernel's own per-CPU work gathers there, and CPU 0
cannot be isolated), then come shared cores, then PMD cores, and the rest is for pinned instances.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint
from isthmus.nfv.plan.resource import caches, ports


@dataclass(frozen=True, slots=True)
class NodeCpus:
    """The CPU sets of one node."""

    host: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    pmd: tuple[int, ...] = ()
    idle: tuple[int, ...] = ()
    dedicated: tuple[int, ...] = ()


def find_homes(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> dict[int, int]:
    """Map the node of each polled port to the node whose CPUs poll it: its own, or the nearest."""
    memory = {node.id for node in inventory.nodes if node.memory_mib}
    with_cpus = sorted({core.node for core in inventory.cores} & memory) or sorted(
        {core.node for core in inventory.cores}
    )
    return {
        seat.node: min(
            with_cpus,
            key=lambda node, near=seat.node: (  # type: ignore[misc]
                node != near,
                inventory.distance(near, node) or abs(node - near) + 10,
                node,
            ),
        )
        for seat in ports.of_path(seats, host_demand.DataPath.OVS_DPDK)
    }


def count_pmd_cores(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    seats: Sequence[ports.Seat],
    homes: Mapping[int, int],
) -> dict[int, int]:
    """Count the PMD cores that each node needs; nodes without any are left out.

    Args:
        inventory: of the host.
        demand: for the host; packet rates and the capacity of a core are in millions of packets
            per second.
        seats: the ports of each network, with their nodes.
        homes: node of a port -> node that polls it.
    """
    rates: dict[int, float] = {}
    for seat in ports.of_path(seats, host_demand.DataPath.OVS_DPDK):
        home = homes[seat.node]
        rates[home] = rates.get(home, 0.0) + seat.network.packet_rate_mpps
    found = {
        node: max(1, math.ceil(rate / demand.pmd.mpps_per_core - 1e-9))
        for node, rate in rates.items()
    }
    if demand.pmd.on_every_node and found:
        memory = {node.id for node in inventory.nodes if node.memory_mib}
        found = {core.node: 1 for core in inventory.cores if core.node in memory} | found
    return found | {node: cores for node, cores in demand.pmd.cores.items() if cores}


def partition_cpus(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    pmd_cores: Mapping[int, int],
) -> tuple[dict[int, NodeCpus], tuple[Constraint, ...]]:
    """Assign exactly one use to every CPU of every node."""
    found: dict[int, NodeCpus] = {}
    faults: list[Constraint] = []
    host, shared = demand.host.cores_per_node, demand.host.shared_cores_per_node
    faults += [
        Constraint(
            code="node",
            message=f"pmd.cores names NUMA node {node}; {inventory.name} has nodes "
            f"{', '.join(map(str, inventory.node_ids))}",
        )
        for node in sorted(set(pmd_cores) - set(inventory.node_ids))
    ]
    for node_id in inventory.node_ids:
        cores = inventory.cores_of(node_id)
        polling = pmd_cores.get(node_id, 0)
        if not cores and not polling:
            found[node_id] = NodeCpus()
            continue
        if not inventory.nodes[inventory.node_ids.index(node_id)].memory_mib and not polling:
            # No instance fits there, and no PMD should: nothing has memory at hand.
            found[node_id] = NodeCpus(host=tuple(sorted(cpu for c in cores for cpu in c.cpus)))
            continue
        if len(cores) < host + shared + polling:
            faults.append(
                Constraint(
                    code="cpus",
                    message=f"NUMA node {node_id} has {len(cores)} cores, but {host} for the host, "
                    f"{shared} shared and {polling} for PMDs are {host + shared + polling}",
                )
            )
        rest = cores[host + shared :]
        found[node_id] = _cut(
            cores[:host],
            cores[host : host + shared],
            caches.pick_cores(inventory, rest, polling),
            rest,
            demand.pmd.siblings,
        )
    return found, tuple(faults)


def _cut(
    host: Sequence[host_inventory.Core],
    shared: Sequence[host_inventory.Core],
    polling: Sequence[host_inventory.Core],
    rest: Sequence[host_inventory.Core],
    siblings: host_demand.SiblingUse,
) -> NodeCpus:
    """Cut a node's CPUs: `rest` is what host and shared leave, of which `polling` are PMDs'."""

    def cpus(part: Sequence[host_inventory.Core]) -> tuple[int, ...]:
        return tuple(sorted(cpu for core in part for cpu in core.cpus))

    leads = tuple(sorted(core.cpus[0] for core in polling))
    all_pmd = cpus(polling)
    poll = all_pmd if siblings is host_demand.SiblingUse.POLL else leads
    return NodeCpus(
        host=cpus(host),
        shared=cpus(shared),
        pmd=poll,
        idle=tuple(cpu for cpu in all_pmd if cpu not in poll),
        dedicated=cpus([core for core in rest if core not in polling]),
    )
