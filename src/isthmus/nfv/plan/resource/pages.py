"""Who gets which memory: the host's small pages, Open vSwitch's socket memory, instances' pages.

Every whole huge page that the reserve leaves is set aside at boot: afterwards memory is in pieces,
and 1 GiB pages cannot be had again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint, MempoolPlan, PagePlan
from isthmus.nfv.plan.demand import SMALL_KIB, default_page_kib, page_kib, size_name
from isthmus.nfv.plan.resource import memory, ports


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """The memory of one node, split."""

    total_mib: int
    host_mib: int  #: small pages, whatever they are for
    small_for_instances_mib: int  #: of those
    socket_mib: int
    mempools: tuple[MempoolPlan, ...]
    pages: tuple[PagePlan, ...]


def guest_nodes(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    seats: Sequence[ports.Seat],
    flavor: host_demand.FlavorDemand,
) -> tuple[int, ...]:
    """Return the nodes on which (some of) an instance may run, ascending.

    An instance of one node must sit where all its networks with required affinity have a port; one
    of several nodes only has to touch each, so any node may hold a part of it.

    Args:
        inventory: of the host.
        demand: for the host.
        seats: the ports of each network, with their nodes.
        flavor: one of the demand's.
    """
    nodes = {core.node for core in inventory.cores} & {
        node.id for node in inventory.nodes if node.memory_mib
    }
    if flavor.numa_nodes > 1:
        return tuple(sorted(nodes))
    for name in flavor.networks:
        network = demand.network(demand.tunnel_network if name == "tunnel" else name)
        if network is not None and network.affinity is not host_demand.Affinity.PREFERRED:
            nodes &= reach_of(inventory, seats, network)
    return tuple(sorted(nodes))


def reach_of(
    inventory: host_inventory.HostInventory,
    seats: Sequence[ports.Seat],
    network: host_demand.PhysicalNetwork,
) -> set[int]:
    """Return the nodes from which a network's affinity lets instances use it."""
    mine = [seat for seat in seats if seat.network.name == network.name]
    if network.affinity is host_demand.Affinity.PREFERRED or (
        network.by.has_functions and not all(seat.is_known for seat in mine)
    ):
        return set(inventory.node_ids)
    nodes = {seat.node for seat in mine}
    if network.affinity is host_demand.Affinity.SOCKET:
        nodes |= {other for node in nodes for other in inventory.socket_nodes(node)}
    return nodes


def buffer_ports(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    seats: Sequence[ports.Seat],
    queues: Mapping[str, int],
) -> dict[int, list[memory.PortMemory]]:
    """List what has packet buffers on which node: polled ports, and vhost-user where guests run.

    Args:
        inventory: the host.
        demand: the demand.
        seats: all ports of the plan.
        queues: NIC -> receive queues.
    """
    found: dict[int, list[memory.PortMemory]] = {}
    mine = ports.of_path(seats, host_demand.DataPath.OVS_DPDK)
    for seat in mine:
        name = seat.nic.name
        port = memory.PortMemory(name, seat.network.mtu, queues.get(name, 1))
        found.setdefault(seat.node, []).append(port)
    for network in {seat.network.name: seat.network for seat in mine}.values():
        tunnels = demand.tunnel_network == network.name
        users = [
            flavor
            for flavor in demand.flavors
            if network.name in flavor.networks or (tunnels and "tunnel" in flavor.networks)
        ]
        most = max((user.vcpus for user in users if user.multiqueue), default=1)
        nodes = {node for user in users for node in guest_nodes(inventory, demand, seats, user)}
        if not users:
            pinned = network.affinity is not host_demand.Affinity.PREFERRED
            everywhere = {core.node for core in inventory.cores} & {
                node.id for node in inventory.nodes if node.memory_mib
            }
            nodes = reach_of(inventory, seats, network) if pinned else everywhere
        for node in sorted(nodes):
            port = memory.PortMemory(f"vhost-user on {network.name}", network.mtu, most)
            found.setdefault(node, []).append(port)
    return found


def split_memory(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    seats: Sequence[ports.Seat],
    *,
    queues: Mapping[str, int],
    pmds: int,
) -> tuple[dict[int, NodeMemory], tuple[Constraint, ...]]:
    """Split the memory of every node between the host, Open vSwitch and instances.

    Args:
        inventory: of the host.
        demand: for the host.
        seats: the ports of each network, with their nodes.
        queues: name of a port -> receive queues, by which its packet buffers are sized.
        pmds: PMD threads of the whole host.

    Returns:
        What each node's memory is for, by id of the node, and what cannot be met.
    """
    default_kib = default_page_kib(demand)
    faults = list(_check_sizes(inventory, demand))
    buffers = buffer_ports(inventory, demand, seats, queues)
    sides = _side_pools(inventory, demand, seats)
    with_cpus = {core.node for core in inventory.cores}
    total = sum(node.memory_mib for node in inventory.nodes if node.id in with_cpus) or 1
    reserve = demand.host.memory_mib + demand.host.memory_per_instance_mib * sum(
        flavor.count for flavor in demand.flavors
    )
    found: dict[int, NodeMemory] = {}
    for node in inventory.nodes:
        if node.id not in with_cpus:
            # No instance can use its memory, and the host's own is where its CPUs are.
            found[node.id] = _without_cpus(node, default_kib)
            faults += _check_buffers_there(node, buffers.get(node.id, ()))
            continue
        share = -(-reserve * node.memory_mib // total)
        pools = memory.plan_mempools(
            buffers.get(node.id, ()), per_port=demand.pmd.per_port_memory, pmds=pmds
        )
        found[node.id] = _split_node(node, share, pools, default_kib, sides.get(node.id, {}))
        faults += _check_node(node, found[node.id], share, default_kib, sides.get(node.id, {}))
    return found, tuple(faults)


def _without_cpus(node: host_inventory.NumaNode, default_kib: int) -> NodeMemory:
    """Leave a node of memory alone (CXL, persistent memory, a GPU's) to the kernel, whole."""
    return NodeMemory(
        total_mib=node.memory_mib,
        host_mib=node.memory_mib,
        small_for_instances_mib=0,
        socket_mib=0,
        mempools=(),
        pages=(PagePlan(size_kib=default_kib, total=0, for_ovs=0),),
    )


def _check_buffers_there(
    node: host_inventory.NumaNode, buffers: Sequence[memory.PortMemory]
) -> list[Constraint]:
    return [
        Constraint(
            code="node",
            message=f"{port.name} has its packet buffers on NUMA node {node.id}, which has no CPU: "
            "no huge pages are set aside there",
        )
        for port in buffers
    ]


def _split_node(
    node: host_inventory.NumaNode,
    share: int,
    pools: tuple[MempoolPlan, ...],
    default_kib: int,
    side: Mapping[int, int],
) -> NodeMemory:
    page_mib = default_kib // 1024
    socket = memory.socket_memory_mib(pools, page_mib)
    small = side.get(SMALL_KIB, 0)
    others = {size: mib for size, mib in side.items() if size not in {SMALL_KIB, default_kib}}
    left = max(0, node.memory_mib - share - small - sum(others.values()))
    pages = {default_kib: left // page_mib}
    pages |= {size: mib * 1024 // size for size, mib in others.items() if mib}
    huge = sum(count * size // 1024 for size, count in pages.items())
    return NodeMemory(
        total_mib=node.memory_mib,
        host_mib=max(0, node.memory_mib - huge),
        small_for_instances_mib=small,
        socket_mib=socket,
        mempools=pools,
        pages=tuple(
            PagePlan(
                size_kib=size,
                total=count,
                for_ovs=socket // page_mib if size == default_kib else 0,
            )
            for size, count in sorted(pages.items())
        ),
    )


def _side_pools(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    seats: Sequence[ports.Seat],
) -> dict[int, dict[int, int]]:
    """Return MiB per node and page size for flavors that do not use the default size."""
    default_kib = default_page_kib(demand)
    found: dict[int, dict[int, int]] = {}
    for flavor in demand.flavors:
        size = page_kib(flavor.page_size)
        nodes = guest_nodes(inventory, demand, seats, flavor)
        if size in {None, default_kib} or not nodes or not flavor.count or size is None:
            continue
        per_guest = flavor.ram_mib // flavor.numa_nodes
        each = -(-flavor.count * flavor.numa_nodes // len(nodes)) * per_guest
        for node in nodes:
            sizes = found.setdefault(node, {})
            sizes[size] = sizes.get(size, 0) + each
    return found


def _check_sizes(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> list[Constraint]:
    wanted = {demand.page_size} | {
        flavor.page_size for flavor in demand.flavors if flavor.page_size not in {"large", "small"}
    }
    known = inventory.page_sizes_kib
    return [
        Constraint(
            code="pages",
            message=f"{inventory.name} has no {name} pages: its CPU and kernel offer "
            f"{', '.join(map(size_name, known))}",
        )
        for name in sorted(wanted)
        if known and page_kib(name) not in known
    ]


def _check_node(
    node: host_inventory.NumaNode,
    split: NodeMemory,
    share: int,
    default_kib: int,
    side: Mapping[int, int],
) -> list[Constraint]:
    faults: list[Constraint] = []
    others = sum(mib for size, mib in side.items() if size != default_kib)
    if node.memory_mib < share + others:
        faults.append(
            Constraint(
                code="memory",
                message=f"NUMA node {node.id} has {node.memory_mib} MiB, but {share} MiB for the "
                f"host and {others} MiB in other pages for instances are {share + others} MiB",
            )
        )
    have = next((page.total for page in split.pages if page.size_kib == default_kib), 0)
    need = split.socket_mib * 1024 // default_kib
    if have < need:
        faults.append(
            Constraint(
                code="memory",
                message=f"NUMA node {node.id} needs {split.socket_mib} MiB of socket memory, but "
                f"{have * default_kib // 1024} MiB in huge pages are left of its {node.memory_mib} "
                f"MiB after {share} MiB for the host",
            )
        )
    return faults
