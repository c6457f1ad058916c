"""What flavors find on a drafted host: spaces, functions and ties, and how many of each fit."""

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import Constraint, FlavorPlan
from isthmus.nfv.plan import settings
from isthmus.nfv.plan.demand import SMALL_KIB
from isthmus.nfv.plan.draft import Draft
from isthmus.nfv.plan.fit import capacity, pools
from isthmus.nfv.plan.resource import affinity, pages


def plan_flavors(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand, draft: Draft
) -> tuple[tuple[FlavorPlan, ...], list[Constraint]]:
    """Count how many of each flavor fit, and place all that are wanted, the largest first."""
    spaces, free = make_spaces(inventory, demand, draft), make_pools(draft)
    ties = {flavor.name: make_ties(inventory, demand, draft, flavor) for flavor in demand.flavors}
    faults: list[Constraint] = []
    left, some = spaces, free
    for flavor in sorted(demand.flavors, key=lambda one: (-one.vcpus, -one.ram_mib, one.name)):
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
    for flavor in demand.flavors:
        tie = ties[flavor.name]
        alone, full, rest = capacity.fill(spaces, flavor, tie, pools=free)
        more, *_ = capacity.fill(left, flavor, tie, pools=some)
        policy = affinity.decide_policy(demand, draft.seats, flavor).affinity
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


def make_spaces(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand, draft: Draft
) -> list[capacity.NodeSpace]:
    """Return what instances may fill, node by node."""
    found: list[capacity.NodeSpace] = []
    own = any(part.shared for part in draft.cpus.values())
    for node in inventory.nodes:
        cpus, memory = draft.cpus[node.id], draft.memory[node.id]
        dedicated = set(cpus.dedicated)
        shared = len(cpus.shared if own else cpus.host)
        free = {page.size_kib: max(0, page.total - page.for_ovs) for page in memory.pages}
        free[SMALL_KIB] = memory.small_for_instances_mib * 1024 // SMALL_KIB
        sockets = {core.socket for core in inventory.cores_of(node.id)}
        found.append(
            capacity.NodeSpace(
                node=node.id,
                cores=[
                    len(core.cpus)
                    for core in inventory.cores_of(node.id)
                    if dedicated.issuperset(core.cpus)
                ],
                pages=free,
                shared=shared * demand.shared_ratio,
                shared_cpus=shared,
                socket=next(iter(sockets)) if len(sockets) == 1 else None,
                memory_kib=node.memory_mib * 1024,
            )
        )
    return found


def make_pools(draft: Draft) -> pools.Pools:
    """Return the virtual functions that instances may have, one pool a network and node."""
    counts: dict[tuple[str, int | None], int] = {}
    for one in draft.sriov:
        key = (one.physical_network, one.node)
        counts[key] = counts.get(key, 0) + one.vfs
    return tuple(pools.Pool(network, node, count) for (network, node), count in counts.items())


def make_ties(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    draft: Draft,
    flavor: host_demand.FlavorDemand,
) -> capacity.Ties:
    """Return what binds a flavor's instances to nodes.

    Args:
        inventory: of the host.
        demand: for the host.
        draft: the plan so far: ports with their nodes.
        flavor: one of the demand's.
    """
    reach: dict[str, frozenset[int]] = {}
    policy = affinity.decide_policy(demand, draft.seats, flavor).affinity
    for name in flavor.networks:
        network = demand.network(demand.tunnel_network if name == "tunnel" else name)
        if network is None or network.by.has_functions:
            continue
        if network.affinity is not host_demand.Affinity.PREFERRED:
            reach[name] = frozenset(pages.reach_of(inventory, draft.seats, network))
    return capacity.Ties(
        reach=reach,
        functions=tuple(
            pools.Request(network.name, policy)
            for network in affinity.networks_of(demand, flavor)
            if policy is not None
        ),
    )


def check_threads(
    inventory: host_inventory.HostInventory, flavor: host_demand.FlavorDemand
) -> list[Constraint]:
    """Check a flavor's thread policy against the host's hyper-threading, as Nova does."""
    threads = inventory.threads_per_core
    policy = flavor.thread_policy
    if policy is host_demand.ThreadPolicy.ISOLATE and threads > 1:
        why = (
            f"{inventory.name} has {threads} threads a core, and Nova places thread policy isolate "
            "only on hosts without hyper-threading (trait HW_CPU_HYPERTHREADING forbidden)"
        )
    elif policy is host_demand.ThreadPolicy.REQUIRE and threads == 1:
        why = f"{inventory.name} has one thread a core, but thread policy require needs siblings"
    else:
        return []
    return [Constraint(code="flavor", message=f"flavor {flavor.name} cannot run: {why}")]
