"""The plan of one host: every part put together, or every reason why it cannot be."""

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import FlavorPlan, HostPlan, NodePlan, Refusal
from isthmus.nfv.plan import notes, settings
from isthmus.nfv.plan.demand import default_page_kib
from isthmus.nfv.plan.draft import Draft, draft_plan
from isthmus.nfv.plan.fit.flavors import plan_flavors
from isthmus.nfv.plan.resource import crossing, functions, pages, ports


def plan_host(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> HostPlan | Refusal:
    """Plan a host.

    Args:
        inventory: a sound inventory.
        demand: a demand that does not contradict itself.

    Returns:
        A whole plan, or every constraint that cannot hold (without alternatives, which
        `alternatives.plan_or_alternatives` adds).
    """
    draft = draft_plan(inventory, demand)
    flavors, faults = plan_flavors(inventory, demand, draft)
    constraints = (*draft.constraints, *faults)
    if constraints:
        return Refusal(host=inventory.name, constraints=constraints)
    return _assemble(inventory, demand, draft, flavors)


def _assemble(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    draft: Draft,
    flavors: tuple[FlavorPlan, ...],
) -> HostPlan:
    dpdk = ports.plan_dpdk(
        draft.seats,
        {node: part.pmd for node, part in draft.cpus.items()},
        draft.homes,
        frozenset(nic.pci_address for nic in inventory.nics if functions.mates_of(inventory, nic)),
    )
    nodes = _plan_nodes(inventory, draft, polled=bool(dpdk))
    needs_iommu = bool(draft.sriov) or any(port.driver == "vfio-pci" for port in dpdk)
    network_nodes = {
        network.name: tuple(sorted(pages.reach_of(inventory, draft.seats, network)))
        for network in demand.physical_networks
    }
    default_kib = default_page_kib(demand)
    small = sum(part.small_for_instances_mib for part in draft.memory.values())
    reserved = sum(node.host_memory_mib for node in nodes) - small
    crossings = crossing.find_crossings(inventory, demand, draft.seats, draft.homes, draft.guests)
    return HostPlan(
        host=inventory.name,
        nodes=nodes,
        default_page_kib=default_kib,
        dpdk_ports=dpdk,
        sriov=draft.sriov,
        kernel_ports=ports.plan_kernel(draft.seats),
        kernel_args=settings.plan_kernel_args(
            inventory, nodes, default_kib, needs_iommu=needs_iommu
        ),
        other_config=settings.plan_other_config(inventory, demand, nodes, dpdk),
        external_ids=settings.plan_external_ids(
            demand, settings.bridge_mappings(demand), has_dpdk=bool(dpdk)
        ),
        nova=settings.plan_nova(
            demand,
            nodes,
            draft.sriov,
            network_nodes,
            reserved_mib=reserved,
            small_mib={node: part.small_for_instances_mib for node, part in draft.memory.items()},
            has_dpdk=bool(dpdk),
        ),
        neutron=settings.plan_neutron(demand, draft.sriov, has_dpdk=bool(dpdk)),
        tuned_profile=settings.TUNED_PROFILE,
        tuned_variables=settings.plan_tuned(nodes),
        flavors=flavors,
        crossings=crossings,
        notes=(*draft.notes, *notes.plan_notes(inventory, demand, nodes)),
    )


def _plan_nodes(
    inventory: host_inventory.HostInventory, draft: Draft, *, polled: bool
) -> tuple[NodePlan, ...]:
    names: dict[int, list[str]] = {}
    for seat in draft.seats:
        names.setdefault(seat.node, []).append(seat.nic.name)
    found: list[NodePlan] = []
    for node in inventory.nodes:
        cpus, memory = draft.cpus[node.id], draft.memory[node.id]
        found.append(
            NodePlan(
                id=node.id,
                host_cpus=cpus.host,
                shared_cpus=cpus.shared,
                pmd_cpus=cpus.pmd,
                idle_cpus=cpus.idle,
                dedicated_cpus=cpus.dedicated,
                memory_mib=memory.total_mib,
                host_memory_mib=memory.host_mib,
                socket_memory_mib=memory.socket_mib if polled else 0,
                mempools=memory.mempools,
                pages=memory.pages,
                ports=tuple(sorted(names.get(node.id, ()))),
            )
        )
    return tuple(found)
