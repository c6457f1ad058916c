"""The plan of one host: every part put together, or every reason why it cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model import host_inventory, nfv_intent
from isthmus.model.host_plan import (
    Constraint,
    FlavorPlan,
    HostPlan,
    NodePlan,
    Note,
    Refusal,
    SriovPlan,
)
from isthmus.nfv.plan import (
    affinity,
    caches,
    capacity,
    crossing,
    functions,
    pages,
    partition,
    pools,
    ports,
    settings,
)
from isthmus.nfv.plan.intent import SMALL_KIB, default_page_kib, size_name


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


def plan_host(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> HostPlan | Refusal:
    """Plan a host.

    Args:
        inventory: a sound inventory.
        intent: an intent that does not contradict itself.

    Returns:
        A whole plan, or every constraint that cannot hold (without nearest intents, which
        `nearest.plan_or_nearest` adds).
    """
    draft = draft_plan(inventory, intent)
    flavors, faults = plan_flavors(inventory, intent, draft)
    constraints = (*draft.constraints, *faults)
    if constraints:
        return Refusal(host=inventory.name, constraints=constraints)
    return _assemble(inventory, intent, draft, flavors)


def draft_plan(inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent) -> Draft:
    """Decide who gets what; faults are collected, not raised."""
    seats, nic_faults, nic_notes = ports.seat_ports(inventory, intent)
    homes = partition.find_homes(inventory, seats)
    cores = partition.count_pmd_cores(inventory, intent, seats, homes)
    cpus, cpu_faults = partition.partition_cpus(inventory, intent, cores)
    queues = _count_queues(seats, cpus, homes)
    memory, memory_faults = pages.split_memory(
        inventory,
        intent,
        seats,
        queues=queues,
        pmds=sum(len(part.pmd) for part in cpus.values()),
    )
    sriov, vf_faults, vf_notes = ports.plan_sriov(inventory, intent, seats)
    absent = _check_memoryless(inventory, seats)
    refused = functions.check_functions(inventory, seats)
    policies = [affinity.decide_policy(intent, seats, flavor) for flavor in intent.flavors]
    return Draft(
        seats=seats,
        homes=homes,
        cpus=cpus,
        memory=memory,
        sriov=sriov,
        guests={
            flavor.name: pages.guest_nodes(inventory, intent, seats, flavor)
            for flavor in intent.flavors
        },
        constraints=(
            *nic_faults,
            *refused,
            *cpu_faults,
            *memory_faults,
            *vf_faults,
            *absent,
            *affinity.check_sockets(inventory, intent),
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
        for seat in ports.of_path(seats, nfv_intent.DataPath.OVS_DPDK)
        if seat.node in empty
    ]


def make_rooms(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent, draft: Draft
) -> list[capacity.Room]:
    """Give what instances may fill, node by node."""
    found: list[capacity.Room] = []
    own = any(part.shared for part in draft.cpus.values())
    for node in inventory.nodes:
        cpus, memory = draft.cpus[node.id], draft.memory[node.id]
        dedicated = set(cpus.dedicated)
        shared = len(cpus.shared if own else cpus.host)
        free = {page.size_kib: max(0, page.total - page.for_ovs) for page in memory.pages}
        free[SMALL_KIB] = memory.small_for_instances_mib * 1024 // SMALL_KIB
        sockets = {core.socket for core in inventory.cores_of(node.id)}
        found.append(
            capacity.Room(
                node=node.id,
                cores=[
                    len(core.cpus)
                    for core in inventory.cores_of(node.id)
                    if dedicated.issuperset(core.cpus)
                ],
                pages=free,
                shared=shared * intent.shared_ratio,
                shared_cpus=shared,
                socket=next(iter(sockets)) if len(sockets) == 1 else None,
                memory_kib=node.memory_mib * 1024,
            )
        )
    return found


def make_pools(draft: Draft) -> pools.Pools:
    """Give the virtual functions that instances may have, one pool a network and node."""
    counts: dict[tuple[str, int | None], int] = {}
    for one in draft.sriov:
        key = (one.physical_network, one.node)
        counts[key] = counts.get(key, 0) + one.vfs
    return tuple(pools.Pool(network, node, count) for (network, node), count in counts.items())


def make_ties(
    inventory: host_inventory.HostInventory,
    intent: nfv_intent.NfvIntent,
    draft: Draft,
    flavor: nfv_intent.FlavorWish,
) -> capacity.Ties:
    """Give what binds a flavor's instances to nodes."""
    reach: dict[str, frozenset[int]] = {}
    policy = affinity.decide_policy(intent, draft.seats, flavor).affinity
    for name in flavor.networks:
        network = intent.network(intent.tunnel_network if name == "tunnel" else name)
        if network is None or network.by.has_functions:
            continue
        if network.affinity is not nfv_intent.Affinity.PREFERRED:
            reach[name] = frozenset(pages.reach_of(inventory, draft.seats, network))
    return capacity.Ties(
        reach=reach,
        functions=tuple(
            pools.Request(network.name, policy)
            for network in affinity.networks_of(intent, flavor)
            if policy is not None
        ),
    )


def plan_flavors(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent, draft: Draft
) -> tuple[tuple[FlavorPlan, ...], list[Constraint]]:
    """Count how many of each flavor fit, and place all that are wanted, the largest first."""
    rooms, free = make_rooms(inventory, intent, draft), make_pools(draft)
    ties = {flavor.name: make_ties(inventory, intent, draft, flavor) for flavor in intent.flavors}
    faults: list[Constraint] = []
    left, some = rooms, free
    for flavor in sorted(intent.flavors, key=lambda one: (-one.vcpus, -one.ram_mib, one.name)):
        faults += check_threads(inventory, flavor)
        tie = ties[flavor.name]
        placed, left, some = capacity.fill(left, flavor, tie, pools=some, most=flavor.count)
        if placed < flavor.count:
            why = capacity.limiting(left, flavor, tie, some)
            faults.append(
                Constraint(
                    code="capacity",
                    message=f"{placed} of {flavor.count} wanted {flavor.name} ({flavor.vcpus} "
                    f"vCPUs, {flavor.ram_mib} MiB) fit on {inventory.name}: limited by {why}",
                )
            )
    found = []
    for flavor in intent.flavors:
        tie = ties[flavor.name]
        alone, full, rest = capacity.fill(rooms, flavor, tie, pools=free)
        more, *_ = capacity.fill(left, flavor, tie, pools=some)
        policy = affinity.decide_policy(intent, draft.seats, flavor).affinity
        found.append(
            FlavorPlan(
                name=flavor.name,
                vcpus=flavor.vcpus,
                ram_mib=flavor.ram_mib,
                disk_gib=flavor.disk_gib,
                extra_specs=settings.plan_extra_specs(flavor, affinity=str(policy or "")),
                wanted=flavor.count,
                fits_alone=alone,
                fits_more=more,
                limited_by=capacity.limiting(full, flavor, tie, rest),
                nodes=draft.guests[flavor.name],
            )
        )
    return tuple(found), faults


def check_threads(
    inventory: host_inventory.HostInventory, flavor: nfv_intent.FlavorWish
) -> list[Constraint]:
    """Hold a flavor's thread policy against the host's hyper-threading, as Nova does."""
    threads = inventory.threads_per_core
    policy = flavor.thread_policy
    if policy is nfv_intent.ThreadPolicy.ISOLATE and threads > 1:
        why = (
            f"{inventory.name} has {threads} threads a core, and Nova places thread policy isolate "
            "only on hosts without hyper-threading (trait HW_CPU_HYPERTHREADING forbidden)"
        )
    elif policy is nfv_intent.ThreadPolicy.REQUIRE and threads == 1:
        why = f"{inventory.name} has one thread a core, but thread policy require needs siblings"
    else:
        return []
    return [Constraint(code="flavor", message=f"flavor {flavor.name} cannot run: {why}")]


def _assemble(
    inventory: host_inventory.HostInventory,
    intent: nfv_intent.NfvIntent,
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
        for network in intent.physical_networks
    }
    default_kib = default_page_kib(intent)
    small = sum(part.small_for_instances_mib for part in draft.memory.values())
    reserved = sum(node.host_memory_mib for node in nodes) - small
    crossings = crossing.find_crossings(inventory, intent, draft.seats, draft.homes, draft.guests)
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
        other_config=settings.plan_other_config(inventory, intent, nodes, dpdk),
        external_ids=settings.plan_external_ids(
            intent, settings.bridge_mappings(intent), has_dpdk=bool(dpdk)
        ),
        nova=settings.plan_nova(
            intent,
            nodes,
            draft.sriov,
            network_nodes,
            reserved_mib=reserved,
            small_mib={node: part.small_for_instances_mib for node, part in draft.memory.items()},
            has_dpdk=bool(dpdk),
        ),
        neutron=settings.plan_neutron(intent, draft.sriov, has_dpdk=bool(dpdk)),
        tuned_profile=settings.TUNED_PROFILE,
        tuned_variables=settings.plan_tuned(nodes),
        flavors=flavors,
        crossings=crossings,
        notes=(*draft.notes, *_notes(inventory, intent, nodes)),
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


def _note_unknown(
    inventory: host_inventory.HostInventory,
    intent: nfv_intent.NfvIntent,
    nodes: Sequence[NodePlan],
) -> list[Note]:
    """Say what the source does not know and the plan rests on."""
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
        any(network.by.has_functions for network in intent.physical_networks)
        or any(network.by is nfv_intent.DataPath.OVS_DPDK for network in intent.physical_networks)
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


def _notes(
    inventory: host_inventory.HostInventory,
    intent: nfv_intent.NfvIntent,
    nodes: Sequence[NodePlan],
) -> list[Note]:
    found: list[Note] = []
    by = {network.by for network in intent.physical_networks}
    dpdk = nfv_intent.DataPath.OVS_DPDK in by
    if dpdk and any(network.packet_rate_mpps for network in intent.physical_networks):
        found.append(
            Note(
                code="rate-assumed",
                text=f"PMD cores were counted at {intent.pmd.mpps_per_core:g} million packets a "
                "second each; measure your own with isthmus nfv measure",
            )
        )
    if dpdk and nfv_intent.DataPath.KERNEL in by:
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
    found += _note_unknown(inventory, intent, nodes)
    found += caches.note_caches(inventory, intent, nodes)
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
