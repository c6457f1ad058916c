"""Who gets which CPU: host, shared, PMD, instances; whole cores only, so siblings stay together.

On each node the first cores are the host's (the kernel's own per-CPU work gathers there, and CPU 0
cannot be isolated), then come shared cores, then PMD cores, and the rest is for pinned instances.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model import host_inventory, nfv_intent
from isthmus.model.host_plan import Constraint
from isthmus.nfv.plan import ports


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
    with_cpus = sorted({core.node for core in inventory.cores})
    return {
        seat.node: min(
            with_cpus,
            key=lambda node, near=seat.node: (  # type: ignore[misc]
                node != near,
                inventory.distance(near, node) or abs(node - near) + 10,
                node,
            ),
        )
        for seat in ports.of_path(seats, nfv_intent.DataPath.OVS_DPDK)
    }


def count_pmd_cores(
    inventory: host_inventory.HostInventory,
    intent: nfv_intent.NfvIntent,
    seats: Sequence[ports.Seat],
    homes: Mapping[int, int],
) -> dict[int, int]:
    """Count the PMD cores that each node needs; nodes without any are left out."""
    rates: dict[int, float] = {}
    for seat in ports.of_path(seats, nfv_intent.DataPath.OVS_DPDK):
        home = homes[seat.node]
        rates[home] = rates.get(home, 0.0) + seat.network.packet_rate_mpps
    found = {
        node: max(1, math.ceil(rate / intent.pmd.mpps_per_core - 1e-9))
        for node, rate in rates.items()
    }
    if intent.pmd.on_every_node and found:
        found = {core.node: 1 for core in inventory.cores} | found
    return found | {node: cores for node, cores in intent.pmd.cores.items() if cores}


def partition_cpus(
    inventory: host_inventory.HostInventory,
    intent: nfv_intent.NfvIntent,
    pmd_cores: Mapping[int, int],
) -> tuple[dict[int, NodeCpus], tuple[Constraint, ...]]:
    """Give every CPU of every node exactly one use."""
    found: dict[int, NodeCpus] = {}
    faults: list[Constraint] = []
    host, shared = intent.host.cores_per_node, intent.host.shared_cores_per_node
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
        if len(cores) < host + shared + polling:
            faults.append(
                Constraint(
                    code="cpus",
                    message=f"NUMA node {node_id} has {len(cores)} cores, but {host} for the host, "
                    f"{shared} shared and {polling} for PMDs are {host + shared + polling}",
                )
            )
        found[node_id] = _cut(cores, host, shared, polling, intent.pmd.siblings)
    return found, tuple(faults)


def _cut(
    cores: Sequence[host_inventory.Core],
    host: int,
    shared: int,
    polling: int,
    siblings: nfv_intent.SiblingUse,
) -> NodeCpus:
    def cpus(part: Sequence[host_inventory.Core]) -> tuple[int, ...]:
        return tuple(sorted(cpu for core in part for cpu in core.cpus))

    pmd_cores = cores[host + shared : host + shared + polling]
    leads = tuple(sorted(core.cpus[0] for core in pmd_cores))
    all_pmd = cpus(pmd_cores)
    poll = all_pmd if siblings is nfv_intent.SiblingUse.POLL else leads
    return NodeCpus(
        host=cpus(cores[:host]),
        shared=cpus(cores[host : host + shared]),
        pmd=poll,
        idle=tuple(cpu for cpu in all_pmd if cpu not in poll),
        dedicated=cpus(cores[host + shared + polling :]),
    )
