"""When a demand cannot be met: which small changes of it can.

Each change is planned for real before it is named, alone first and in pairs where none alone is
enough, so that nothing is suggested that does not work.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.demand import default_page_kib, page_kib, size_name
from isthmus.nfv.plan.host import plan_host

Change = tuple[str, Callable[[host_demand.HostDemand], host_demand.HostDemand]]

MOST_SUGGESTIONS = 5
#: So many changes are tried as the first of two, so that a hopeless demand is answered soon too.
MOST_FIRST = 8


def plan_or_alternatives(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> HostPlan | Refusal:
    """Plan a host; where that fails, look for alternative demands that work."""
    outcome = plan_host(inventory, demand)
    if isinstance(outcome, HostPlan):
        return outcome
    changes = list(list_changes(inventory, demand, outcome))
    found = [text for text, change in changes if _works(inventory, change(demand))]
    if not found:
        found = list(itertools.islice(_find_pairs(inventory, demand, changes), MOST_SUGGESTIONS))
    return dataclasses.replace(outcome, alternatives=tuple(found[:MOST_SUGGESTIONS]))


def _find_pairs(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    changes: Sequence[Change],
) -> Iterator[str]:
    """Find two changes that work together; the second answers what the first has left."""
    told: set[frozenset[str]] = set()
    for text, change in changes[:MOST_FIRST]:
        changed = change(demand)
        left = plan_host(inventory, changed)
        if isinstance(left, Refusal):
            for more, second in list_changes(inventory, changed, left):
                # The same two, the other way round, are no other way out.
                if {text, more} not in told and _works(inventory, second(changed)):
                    told.add(frozenset({text, more}))
                    yield f"{text}, and {more}"


def _works(inventory: host_inventory.HostInventory, demand: host_demand.HostDemand) -> bool:
    return isinstance(plan_host(inventory, demand), HostPlan)


def list_changes(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand, refusal: Refusal
) -> Iterator[Change]:
    """List what could be changed, the mildest first, as far as it answers a constraint."""
    codes = {constraint.code for constraint in refusal.constraints}
    if codes & {"capacity", "flavor", "memory", "vfs"}:
        yield from _fewer_instances(inventory, demand)
    if "vfs" in codes:
        yield from _fewer_vfs(inventory, demand)
    if codes & {"cpus", "capacity"}:
        yield from _fewer_cores(demand)
    if codes & {"pages", "memory", "capacity"}:
        yield from _other_memory(inventory, demand)
    if codes & {"flavor", "capacity"}:
        yield from _other_flavors(demand)
    if codes & {"nic", "node", "memory", "cpus", "iommu", "guard"}:
        yield from _other_ports(inventory, demand)


def _with_flavor(
    demand: host_demand.HostDemand, flavor: host_demand.FlavorDemand
) -> host_demand.HostDemand:
    return dataclasses.replace(
        demand,
        flavors=tuple(flavor if one.name == flavor.name else one for one in demand.flavors),
    )


def _with_network(
    demand: host_demand.HostDemand, network: host_demand.PhysicalNetwork
) -> host_demand.HostDemand:
    return dataclasses.replace(
        demand,
        physical_networks=tuple(
            network if one.name == network.name else one for one in demand.physical_networks
        ),
    )


def _fewer_instances(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> Iterator[Change]:
    for flavor in demand.flavors:
        low, high = -1, flavor.count  # the most that work are in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            fewer = dataclasses.replace(flavor, count=middle)
            if _works(inventory, _with_flavor(demand, fewer)):
                low = middle
            else:
                high = middle
        if low >= 0:
            best = dataclasses.replace(flavor, count=low)
            yield (
                f"{low} instead of {flavor.count} instances of {flavor.name}",
                functools.partial(_with_flavor, flavor=best),
            )


def _fewer_vfs(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> Iterator[Change]:
    most = {nic.name: nic.max_vfs for nic in inventory.nics} | {
        nic.pci_address: nic.max_vfs for nic in inventory.nics
    }
    for network in demand.physical_networks:
        if not network.by.has_functions:
            continue
        can = min((most.get(name, 0) for name in network.nics), default=0)
        if can:
            fewer = dataclasses.replace(network, vfs=can)
            yield (
                f"{can} virtual functions on {network.name}",
                functools.partial(_with_network, network=fewer),
            )


def _fewer_cores(demand: host_demand.HostDemand) -> Iterator[Change]:
    def rated(one: host_demand.HostDemand) -> host_demand.HostDemand:
        calm = tuple(
            dataclasses.replace(network, packet_rate_mpps=0.0) for network in one.physical_networks
        )
        pmd = dataclasses.replace(one.pmd, cores={}, on_every_node=False)
        return dataclasses.replace(one, physical_networks=calm, pmd=pmd)

    if any(one.packet_rate_mpps for one in demand.physical_networks) or demand.pmd.cores:
        yield "one PMD core on each node with a port, and whatever packet rate that gives", rated
    if demand.host.cores_per_node > 1 or demand.host.shared_cores_per_node:
        host = dataclasses.replace(demand.host, cores_per_node=1, shared_cores_per_node=0)
        yield (
            "one core a node for the host and none of its own for shared CPUs",
            lambda one: dataclasses.replace(one, host=host),
        )


def _other_memory(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> Iterator[Change]:
    # Smaller pages waste less and are there on more hosts; a host that says what it has is trusted.
    mine = default_page_kib(demand)
    known = inventory.page_sizes_kib or (2048,)
    for size in sorted((kib for kib in known if kib != mine and kib >= 1024), reverse=True):
        name = size_name(size)

        def other(
            one: host_demand.HostDemand, name: str = name.replace(" ", "")
        ) -> host_demand.HostDemand:
            flavors = tuple(
                dataclasses.replace(flavor, page_size="large")
                if page_kib(flavor.page_size) == mine
                else flavor
                for flavor in one.flavors
            )
            return dataclasses.replace(one, page_size=name, flavors=flavors)

        yield f"{name} pages instead of {size_name(mine)}", other
    if not demand.pmd.per_port_memory:
        pmd = dataclasses.replace(demand.pmd, per_port_memory=True)
        yield (
            "a pool of packet buffers per port (pmd.per_port_memory), which is smaller",
            lambda one: dataclasses.replace(one, pmd=pmd),
        )
    if any(network.mtu > 1500 for network in demand.physical_networks):
        yield (
            "MTU 1500",
            lambda one: dataclasses.replace(
                one,
                physical_networks=tuple(
                    dataclasses.replace(network, mtu=min(network.mtu, 1500))
                    for network in one.physical_networks
                ),
            ),
        )
    if demand.host.memory_mib > 2048:
        host = dataclasses.replace(demand.host, memory_mib=2048)
        yield "2048 MiB for the host", lambda one: dataclasses.replace(one, host=host)


def _other_flavors(demand: host_demand.HostDemand) -> Iterator[Change]:
    for flavor in demand.flavors:
        if flavor.thread_policy is not host_demand.ThreadPolicy.PREFER:
            policy = dataclasses.replace(flavor, thread_policy=host_demand.ThreadPolicy.PREFER)
            yield (
                f"thread policy prefer for {flavor.name}",
                functools.partial(_with_flavor, flavor=policy),
            )
        if flavor.numa_nodes == 1 and flavor.vcpus % 2 == 0 and flavor.ram_mib % 2 == 0:
            split = dataclasses.replace(flavor, numa_nodes=2)
            yield (
                f"two NUMA nodes for {flavor.name}",
                functools.partial(_with_flavor, flavor=split),
            )
    required = [
        one
        for one in demand.physical_networks
        if one.affinity is not host_demand.Affinity.PREFERRED
    ]
    for network in required:
        loose = dataclasses.replace(network, affinity=host_demand.Affinity.PREFERRED)
        yield (
            f"affinity preferred for {network.name}, so that its traffic may cross nodes",
            functools.partial(_with_network, network=loose),
        )


def _other_ports(
    inventory: host_inventory.HostInventory, demand: host_demand.HostDemand
) -> Iterator[Change]:
    used = {name for network in demand.physical_networks for name in network.nics}
    spare = [nic for nic in inventory.nics if not used & {nic.name, nic.pci_address}]
    there = {nic.name for nic in inventory.nics} | {nic.pci_address for nic in inventory.nics}
    for network in demand.physical_networks:
        for nic in spare[:4]:
            if network.by.has_functions and not nic.max_vfs:
                continue
            for name in network.nics:
                swapped = dataclasses.replace(
                    network, nics=tuple(nic.name if one == name else one for one in network.nics)
                )
                where = "" if nic.node is None else f" (node {nic.node})"
                yield (
                    f"{nic.name}{where} instead of {name} for {network.name}",
                    functools.partial(_with_network, network=swapped),
                )
        present = tuple(name for name in network.nics if name in there)
        if present and len(present) < len(network.nics):
            fewer = dataclasses.replace(
                network, nics=present, bond=network.bond and len(present) > 1
            )
            yield (
                f"only {', '.join(present)} for {network.name}",
                functools.partial(_with_network, network=fewer),
            )
        if network.by is host_demand.DataPath.OVS_DPDK:
            slow = dataclasses.replace(
                network,
                by=host_demand.DataPath.KERNEL,
                bond=False,
                af_packet=False,
                packet_rate_mpps=0.0,
            )
            yield (
                f"{network.name} by kernel instead of ovs-dpdk",
                functools.partial(_with_network, network=slow),
            )
