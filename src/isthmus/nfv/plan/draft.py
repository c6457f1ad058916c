"""The draft of a plan: who gets which CPUs, memory and functions, and what is in the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint, Note, SriovPlan
from isthmus.nfv.plan.resource import affinity, functions, pages, partition, ports


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan's parts before they are told in anybody's words."""

    seats: tuple[ports.Seat, ...]
    homes: Mapping[int, int]
    cpus: Mapping[int, partition.NodeCpus]
    memory: Mapping[int, pages.NodeMemory]
    sriov: tuple[SriovPlan, ...]
    guests: Mapping[str, tuple[int, ...]]  #: flavor -> nodes
    constraints: tuple[Constraint, ...]
    notes: tuple[Note, ...]


def draft_plan(inventory: host_inventory.HostInventory, demand: host_demand.HostDemand) -> Draft:
    """Decide who gets what; faults are collected, not raised."""
    seats, nic_faults, nic_notes = ports.seat_ports(inventory, demand)
    homes = partition.find_homes(inventory, seats)
    cores = partition.count_pmd_cores(inventory, demand, seats, homes)
    cpus, cpu_faults = partition.partition_cpus(inventory, demand, cores)
    queues = _count_queues(seats, cpus, homes)
    memory, memory_faults = pages.split_memory(
        inventory,
        demand,
        seats,
        queues=queues,
        pmds=sum(len(part.pmd) for part in cpus.values()),
    )
    sriov, vf_faults, vf_notes = ports.plan_sriov(inventory, demand, seats)
    absent = _check_memoryless(inventory, seats)
    refused = functions.check_functions(inventory, seats)
    policies = [affinity.decide_policy(demand, seats, flavor) for flavor in demand.flavors]
    return Draft(
        seats=seats,
        homes=homes,
        cpus=cpus,
        memory=memory,
        sriov=sriov,
        guests={
            flavor.name: pages.guest_nodes(inventory, demand, seats, flavor)
            for flavor in demand.flavors
        },
        constraints=(
            *nic_faults,
            *refused,
            *cpu_faults,
            *memory_faults,
            *vf_faults,
            *absent,
            *affinity.check_sockets(inventory, demand),
        ),
        notes=(
            *nic_notes,
            *vf_notes,
            *(note for policy in policies for note in policy.notes),
            *functions.note_functions(inventory, seats),
        ),
    )


def _count_queues(
    seats: Sequence[ports.Seat],
    cpus: Mapping[int, partition.NodeCpus],
    homes: Mapping[int, int],
) -> dict[str, int]:
    if any(not cpus[home].pmd for home in homes.values()):
        return {}
    planned = ports.plan_dpdk(seats, {node: part.pmd for node, part in cpus.items()}, homes)
    return {port.nic: port.rx_queues for port in planned}


def _check_memoryless(
    inventory: host_inventory.HostInventory, seats: Sequence[ports.Seat]
) -> list[Constraint]:
    empty = {node.id for node in inventory.nodes if not node.memory_mib}
    return [
        Constraint(
            code="node",
            message=f"{seat.nic.name} sits on NUMA node {seat.node}, which has no memory: DPDK "
            "takes packet buffers from the port's own node",
        )
        for seat in ports.of_path(seats, host_demand.DataPath.OVS_DPDK)
        if seat.node in empty
    ]
