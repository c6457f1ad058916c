"""What a plan says beside its values: what it rests on, and what people stumble over."""

from collections.abc import Sequence

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import NodePlan, Note
from isthmus.nfv.plan import settings
from isthmus.nfv.plan.demand import size_name
from isthmus.nfv.plan.resource import caches


def plan_notes(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    nodes: Sequence[NodePlan],
) -> list[Note]:
    """Write the notes of a planned host."""
    found: list[Note] = []
    by = {network.by for network in demand.physical_networks}
    dpdk = host_demand.DataPath.OVS_DPDK in by
    if dpdk and any(network.packet_rate_mpps for network in demand.physical_networks):
        found.append(
            Note(
                code="rate-assumed",
                text=f"PMD cores were counted at {demand.pmd.mpps_per_core:g} million packets a "
                "second each; measure your own with isthmus nfv measure",
            )
        )
    if dpdk and host_demand.DataPath.KERNEL in by:
        found.append(
            Note(
                code="kernel-beside-dpdk",
                text="kernel ports end on bridges of the user-space datapath here, since br-int is "
                "one: they are polled through a socket and slow; keep them for management",
            )
        )
    if not settings.is_at_least(inventory.kernel_release, settings.PER_NODE_HUGEPAGES):
        found.append(
            Note(
                code="pages-by-unit",
                text=f"kernel {inventory.kernel_release} spreads huge pages evenly: the unit "
                "isthmus-hugepages.service moves them to their nodes at boot",
            )
        )
    found += _note_unknown(inventory, demand, nodes)
    found += caches.note_caches(inventory, demand, nodes)
    high = [cpu for node in nodes for cpu in node.host_cpus if cpu >= 128]
    if dpdk and high:
        found.append(
            Note(
                code="lcores",
                text=f"host CPUs from {min(high)} up are left out of dpdk-lcore-mask: DPDK knows "
                "128 lcores",
            )
        )
    found.append(
        Note(
            code="scheduler",
            text="the scheduler needs NUMATopologyFilter, and PciPassthroughFilter for SR-IOV, "
            "among its enabled_filters",
        )
    )
    return found


def _note_unknown(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    nodes: Sequence[NodePlan],
) -> list[Note]:
    """Note what the plan needs and the source does not know."""
    found: list[Note] = []
    if not inventory.page_sizes_kib:
        sizes = sorted({page.size_kib for node in nodes for page in node.pages if page.total})
        found.append(
            Note(
                code="pages-unknown",
                text="the inventory does not say which huge pages CPU and kernel offer: "
                f"{', '.join(map(size_name, sizes))} are planned unchecked, and a kernel without "
                "them drops hugepagesz without a word (isthmus nfv check tells)",
            )
        )
    if not inventory.cpu_vendor and (
        any(network.by.has_functions for network in demand.physical_networks)
        or any(network.by is host_demand.DataPath.OVS_DPDK for network in demand.physical_networks)
    ):
        found.append(
            Note(
                code="vendor-unknown",
                text="the inventory does not name the maker of the CPU: intel_iommu=on is on the "
                "kernel line in case it is Intel's, and means nothing to others",
            )
        )
    idle = [
        node.id
        for node in nodes
        if node.memory_mib and not any(core.node == node.id for core in inventory.cores)
    ]
    if idle:
        found.append(
            Note(
                code="memory-only",
                text=f"NUMA node {', '.join(map(str, idle))} has memory but no CPU: it gets no "
                "huge pages and nothing of the host's reserve, since no instance could use it",
            )
        )
    return found
