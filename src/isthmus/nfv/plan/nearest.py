"""When an intent cannot be met: which small changes of it can.

Each change is planned for real before it is named, alone first and in pairs where none alone is
enough, so that nothing is suggested that does not work.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

from isthmus.model import host_inventory, nfv_intent
from isthmus.model.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.plan.intent import default_page_kib, page_kib, size_name

Change = tuple[str, Callable[[nfv_intent.NfvIntent], nfv_intent.NfvIntent]]

MOST_SUGGESTIONS = 5
#: So many changes are tried as the first of two, so that a hopeless intent is answered soon too.
MOST_FIRST = 8


def plan_or_nearest(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> HostPlan | Refusal:
    """Plan a host; where that fails, look for the nearest intents that work."""
    outcome = plan_host(inventory, intent)
    if isinstance(outcome, HostPlan):
        return outcome
    changes = list(list_changes(inventory, intent, outcome))
    found = [text for text, change in changes if _works(inventory, change(intent))]
    if not found:
        found = list(itertools.islice(_find_pairs(inventory, intent, changes), MOST_SUGGESTIONS))
    return dataclasses.replace(outcome, nearest=tuple(found[:MOST_SUGGESTIONS]))


def _find_pairs(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent, changes: Sequence[Change]
) -> Iterator[str]:
    """Find two changes that work together; the second answers what the first has left."""
    told: set[frozenset[str]] = set()
    for text, change in changes[:MOST_FIRST]:
        changed = change(intent)
        left = plan_host(inventory, changed)
        if isinstance(left, Refusal):
            for more, second in list_changes(inventory, changed, left):
                # The same two, the other way round, are no other way out.
                if {text, more} not in told and _works(inventory, second(changed)):
                    told.add(frozenset({text, more}))
                    yield f"{text}, and {more}"


def _works(inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent) -> bool:
    return isinstance(plan_host(inventory, intent), HostPlan)


def list_changes(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent, refusal: Refusal
) -> Iterator[Change]:
    """List what could be changed, the mildest first, as far as it answers a constraint."""
    codes = {constraint.code for constraint in refusal.constraints}
    if codes & {"capacity", "flavor", "memory", "vfs"}:
        yield from _fewer_instances(inventory, intent)
    if "vfs" in codes:
        yield from _fewer_vfs(inventory, intent)
    if codes & {"cpus", "capacity"}:
        yield from _fewer_cores(intent)
    if codes & {"pages", "memory", "capacity"}:
        yield from _other_memory(inventory, intent)
    if codes & {"flavor", "capacity"}:
        yield from _other_flavors(intent)
    if codes & {"nic", "node", "memory", "cpus", "iommu", "guard"}:
        yield from _other_ports(inventory, intent)


def _with_flavor(
    intent: nfv_intent.NfvIntent, flavor: nfv_intent.FlavorWish
) -> nfv_intent.NfvIntent:
    return dataclasses.replace(
        intent,
        flavors=tuple(flavor if one.name == flavor.name else one for one in intent.flavors),
    )


def _with_network(
    intent: nfv_intent.NfvIntent, network: nfv_intent.PhysicalNetwork
) -> nfv_intent.NfvIntent:
    return dataclasses.replace(
        intent,
        physical_networks=tuple(
            network if one.name == network.name else one for one in intent.physical_networks
        ),
    )


def _fewer_instances(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> Iterator[Change]:
    for flavor in intent.flavors:
        low, high = -1, flavor.count  # the most that work are in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            fewer = dataclasses.replace(flavor, count=middle)
            if _works(inventory, _with_flavor(intent, fewer)):
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
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> Iterator[Change]:
    most = {nic.name: nic.max_vfs for nic in inventory.nics} | {
        nic.pci_address: nic.max_vfs for nic in inventory.nics
    }
    for network in intent.physical_networks:
        if not network.by.has_functions:
            continue
        can = min((most.get(name, 0) for name in network.nics), default=0)
        if can:
            fewer = dataclasses.replace(network, vfs=can)
            yield (
                f"{can} virtual functions on {network.name}",
                functools.partial(_with_network, network=fewer),
            )


def _fewer_cores(intent: nfv_intent.NfvIntent) -> Iterator[Change]:
    def rated(one: nfv_intent.NfvIntent) -> nfv_intent.NfvIntent:
        calm = tuple(
            dataclasses.replace(network, packet_rate_mpps=0.0) for network in one.physical_networks
        )
        pmd = dataclasses.replace(one.pmd, cores={}, on_every_node=False)
        return dataclasses.replace(one, physical_networks=calm, pmd=pmd)

    if any(one.packet_rate_mpps for one in intent.physical_networks) or intent.pmd.cores:
        yield "one PMD core on each node with a port, and whatever packet rate that gives", rated
    if intent.host.cores_per_node > 1 or intent.host.shared_cores_per_node:
        host = dataclasses.replace(intent.host, cores_per_node=1, shared_cores_per_node=0)
        yield (
            "one core a node for the host and none of its own for shared CPUs",
            lambda one: dataclasses.replace(one, host=host),
        )


def _other_memory(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> Iterator[Change]:
    # Smaller pages waste less and are there on more hosts; a host that says what it has is heeded.
    mine = default_page_kib(intent)
    known = inventory.page_sizes_kib or (2048,)
    for size in sorted((kib for kib in known if kib != mine and kib >= 1024), reverse=True):
        name = size_name(size)

        def other(
            one: nfv_intent.NfvIntent, name: str = name.replace(" ", "")
        ) -> nfv_intent.NfvIntent:
            flavors = tuple(
                dataclasses.replace(flavor, page_size="large")
                if page_kib(flavor.page_size) == mine
                else flavor
                for flavor in one.flavors
            )
            return dataclasses.replace(one, page_size=name, flavors=flavors)

        yield f"{name} pages instead of {size_name(mine)}", other
    if not intent.pmd.per_port_memory:
        pmd = dataclasses.replace(intent.pmd, per_port_memory=True)
        yield (
            "a pool of packet buffers per port (pmd.per_port_memory), which is smaller",
            lambda one: dataclasses.replace(one, pmd=pmd),
        )
    if any(network.mtu > 1500 for network in intent.physical_networks):
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
    if intent.host.memory_mib > 2048:
        host = dataclasses.replace(intent.host, memory_mib=2048)
        yield "2048 MiB for the host", lambda one: dataclasses.replace(one, host=host)


def _other_flavors(intent: nfv_intent.NfvIntent) -> Iterator[Change]:
    for flavor in intent.flavors:
        if flavor.thread_policy is not nfv_intent.ThreadPolicy.PREFER:
            policy = dataclasses.replace(flavor, thread_policy=nfv_intent.ThreadPolicy.PREFER)
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
        one for one in intent.physical_networks if one.affinity is not nfv_intent.Affinity.PREFERRED
    ]
    for network in required:
        loose = dataclasses.replace(network, affinity=nfv_intent.Affinity.PREFERRED)
        yield (
            f"affinity preferred for {network.name}, so that its traffic may cross nodes",
            functools.partial(_with_network, network=loose),
        )


def _other_ports(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> Iterator[Change]:
    used = {name for network in intent.physical_networks for name in network.nics}
    spare = [nic for nic in inventory.nics if not used & {nic.name, nic.pci_address}]
    there = {nic.name for nic in inventory.nics} | {nic.pci_address for nic in inventory.nics}
    for network in intent.physical_networks:
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
        if network.by is nfv_intent.DataPath.OVS_DPDK:
            slow = dataclasses.replace(
                network,
                by=nfv_intent.DataPath.KERNEL,
                bond=False,
                af_packet=False,
                packet_rate_mpps=0.0,
            )
            yield (
                f"{network.name} by kernel instead of ovs-dpdk",
                functools.partial(_with_network, network=slow),
            )
