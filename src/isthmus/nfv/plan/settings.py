"""What the parts of a plan mean in the words of kernel, Open vSwitch, Nova, Neutron and tuned.

Sources:
    Linux Documentation/admin-guide/kernel-parameters.txt (isolcpus, nohz_full, rcu_nocbs,
    hugepages=<node>:<n> since 5.16); ovs-vswitchd.conf.db(5) (other_config);
    nova "CPU topologies", "Huge pages" and "PCI passthrough" admin guides; neutron "Open vSwitch
    with DPDK datapath"; tuned profile cpu-partitioning.
"""

import json
import re
from collections.abc import Mapping, Sequence

from isthmus.facts.cpuset import render_list, render_mask
from isthmus.model.host import host_demand, host_inventory
from isthmus.model.host.host_plan import DpdkPortPlan, NodePlan, SriovPlan
from isthmus.nfv.plan.demand import SMALL_KIB, bridge_name, page_kib
from isthmus.nfv.plan.resource.memory import MOST_LCORES

PER_NODE_HUGEPAGES = (5, 16)  #: first kernel that reads hugepages=<node>:<n>
RXQ_ISOLATE = (2, 16)  #: first Open vSwitch with pmd-rxq-isolate
SLEEP_MAX = (3, 2)  #: where pmd-maxsleep of 3.1 became pmd-sleep-max
VHOST_SOCKETS = "/var/lib/vhost_sockets"
#: Options that Nova of old had, and the new ones beside which nova-compute does not start
#: (nova.virt.libvirt.driver, `_check_cpu_set_configuration`).
OLD_OPTIONS: Mapping[str, frozenset[str]] = {
    "DEFAULT/vcpu_pin_set": frozenset({"compute/cpu_dedicated_set"}),
    "DEFAULT/reserved_host_cpus": frozenset(
        {"compute/cpu_dedicated_set", "compute/cpu_shared_set"}
    ),
}
TUNED_PROFILE = "cpu-partitioning"


def version(text: str) -> tuple[int, ...]:
    """Read the leading numbers of a version; empty where there are none."""
    match = re.match(r"\D*(\d+(?:\.\d+)*)", text)
    return tuple(map(int, match[1].split("."))) if match else ()


def is_at_least(text: str, least: tuple[int, ...]) -> bool:
    """Compare a version; one that is not known counts as new."""
    found = version(text)
    return not found or found >= least


def plan_kernel_args(
    inventory: host_inventory.HostInventory,
    nodes: Sequence[NodePlan],
    default_kib: int,
    *,
    needs_iommu: bool,
) -> tuple[str, ...]:
    """Return the arguments of the kernel line, in the order in which people read them.

    Args:
        inventory: of the host.
        nodes: the plan of each NUMA node.
        default_kib: size of the default huge page.
        needs_iommu: whether devices are handed out.
    """
    args = [f"default_hugepagesz={_size(default_kib)}"]
    sizes = sorted({page.size_kib for node in nodes for page in node.pages}, reverse=True)
    for size in sizes:
        counts = {
            node.id: page.total for node in nodes for page in node.pages if page.size_kib == size
        }
        args.append(f"hugepagesz={_size(size)}")
        if is_at_least(inventory.kernel_release, PER_NODE_HUGEPAGES) and len(nodes) > 1:
            listed = ",".join(f"{node}:{count}" for node, count in counts.items() if count)
            args.append(f"hugepages={listed or 0}")
        else:
            args.append(f"hugepages={sum(counts.values())}")
    isolated = sorted(
        cpu for node in nodes for cpu in (*node.pmd_cpus, *node.idle_cpus, *node.dedicated_cpus)
    )
    if isolated:
        cpus = render_list(isolated)
        args += [f"isolcpus=managed_irq,domain,{cpus}", f"nohz_full={cpus}", f"rcu_nocbs={cpus}"]
        args.append(f"irqaffinity={render_list(_host(nodes))}")
    if needs_iommu:
        # Where nobody says whose the CPU is: the word means nothing to any but Intel's.
        args += ["intel_iommu=on"] if inventory.cpu_vendor in {"GenuineIntel", ""} else []
        args += ["iommu.passthrough=1"] if inventory.cpu_vendor == "ARM" else ["iommu=pt"]
    return tuple(args)


def _size(kib: int) -> str:
    if kib >= 1048576:
        return f"{kib // 1048576}G"
    return f"{kib // 1024}M" if kib >= 1024 else f"{kib}K"


def _host(nodes: Sequence[NodePlan]) -> list[int]:
    return sorted(cpu for node in nodes for cpu in (*node.host_cpus, *node.shared_cpus))


def plan_other_config(
    inventory: host_inventory.HostInventory,
    demand: host_demand.HostDemand,
    nodes: Sequence[NodePlan],
    ports: Sequence[DpdkPortPlan],
) -> dict[str, str]:
    """Return Open_vSwitch other_config; empty where nothing goes by OVS-DPDK.

    Args:
        inventory: of the host.
        demand: for the host.
        nodes: the plan of each NUMA node; socket memory is in MiB.
        ports: those that DPDK polls.
    """
    if any(one.by is host_demand.DataPath.SWITCHDEV for one in demand.physical_networks):
        # `skip_sw` would keep flows that the card cannot take from working at all.
        return {"hw-offload": "true", "tc-policy": "none"}
    if not ports:
        return {}
    pmds = [cpu for node in nodes for cpu in node.pmd_cpus]
    lcores = [cpu for node in nodes for cpu in node.host_cpus if cpu < MOST_LCORES]
    by_id = {node.id: node for node in nodes}
    # EAL wants no more entries than its build knows nodes: the list ends at the last that counts.
    top = max((node.id for node in nodes if node.socket_memory_mib), default=min(by_id, default=0))
    sockets = ",".join(
        str(by_id[node].socket_memory_mib if node in by_id else 0) for node in range(top + 1)
    )
    found = {
        "dpdk-init": "true",
        "dpdk-lcore-mask": render_mask(lcores),
        "dpdk-socket-mem": sockets,
        "dpdk-socket-limit": sockets,
        "pmd-cpu-mask": render_mask(pmds),
    }
    if is_at_least(inventory.ovs_version, RXQ_ISOLATE):
        # Else a PMD with a pinned queue would poll nothing else, and no vhost-user queue at all
        # would be polled where every PMD has one.
        # Only the assignment `group` heeds that.
        found["pmd-rxq-assign"] = "group"
        found["pmd-rxq-isolate"] = "false"
    if demand.pmd.per_port_memory:
        found["per-port-memory"] = "true"
    if demand.pmd.memory_channels:
        found["dpdk-extra"] = f"-n {demand.pmd.memory_channels}"
    if demand.pmd.max_sleep_us:
        new = is_at_least(inventory.ovs_version, SLEEP_MAX)
        found["pmd-sleep-max" if new else "pmd-maxsleep"] = str(demand.pmd.max_sleep_us)
    return found


def plan_external_ids(
    demand: host_demand.HostDemand, mappings: Sequence[str], *, has_dpdk: bool
) -> dict[str, str]:
    """Write Open_vSwitch external_ids of an OVN host; Neutron's OVS agent needs none."""
    if demand.backend is not host_demand.Backend.OVN:
        return {}
    found = {"ovn-bridge-datapath-type": "netdev"} if has_dpdk else {}
    if mappings:
        found["ovn-bridge-mappings"] = ",".join(mappings)
    return found


def bridge_mappings(demand: host_demand.HostDemand) -> list[str]:
    """Map each switched physical network to its bridge."""
    return [
        f"{one.name}:{bridge_name(one)}"
        for one in demand.physical_networks
        if one.by is not host_demand.DataPath.SRIOV
    ]


def plan_nova(
    demand: host_demand.HostDemand,
    nodes: Sequence[NodePlan],
    sriov: Sequence[SriovPlan],
    network_nodes: Mapping[str, Sequence[int]],
    *,
    reserved_mib: int,
    small_mib: Mapping[int, int],
    has_dpdk: bool,
) -> dict[str, tuple[str, ...]]:
    """Return the options of Nova on the compute host, as `section/option` -> values.

    Args:
        demand: for the host.
        nodes: the plan of each NUMA node.
        sriov: the physical functions whose virtual functions are for instances.
        network_nodes: physical network -> nodes where it has ports.
        reserved_mib: memory that is the host's own.
        small_mib: node -> memory in small pages that instances may have.
        has_dpdk: whether Open vSwitch runs with DPDK.
    """
    dedicated = [cpu for node in nodes for cpu in node.dedicated_cpus]
    shared = [cpu for node in nodes for cpu in node.shared_cpus]
    found: dict[str, tuple[str, ...]] = {
        "DEFAULT/reserved_host_memory_mb": (str(reserved_mib),),
        "DEFAULT/cpu_allocation_ratio": (str(demand.shared_ratio),),
        "DEFAULT/ram_allocation_ratio": ("1.0",),
    }
    reserved = tuple(
        f"node:{node.id},size:{page.size_kib},count:{page.for_ovs}"
        for node in nodes
        for page in node.pages
        if page.for_ovs
    )
    if any(flavor.page_size == "small" for flavor in demand.flavors):
        # Nova counts all small pages of a node for instances, the host's own among them.
        reserved += tuple(
            f"node:{node.id},size:{SMALL_KIB},count:"
            f"{(node.host_memory_mib - small_mib[node.id]) * 1024 // SMALL_KIB}"
            for node in nodes
            if node.memory_mib
        )
    if reserved:
        found["DEFAULT/reserved_huge_pages"] = reserved
    if has_dpdk and demand.vhost_queue_size:
        found["libvirt/rx_queue_size"] = (str(demand.vhost_queue_size),)
        found["libvirt/tx_queue_size"] = (str(demand.vhost_queue_size),)
    if dedicated:
        found["compute/cpu_dedicated_set"] = (render_list(dedicated),)
    found["compute/cpu_shared_set"] = (render_list(shared or _host(nodes)),)
    pinned = [
        one
        for one in demand.physical_networks
        if not one.by.has_functions
        and one.affinity is not host_demand.Affinity.PREFERRED
        and network_nodes.get(one.name)
    ]
    if pinned:
        found["neutron/physnets"] = (",".join(one.name for one in pinned),)
    for one in pinned:
        found[f"neutron_physnet_{one.name}/numa_nodes"] = (
            ",".join(map(str, network_nodes[one.name])),
        )
        if one.name == demand.tunnel_network:
            found["neutron_tunnel/numa_nodes"] = (",".join(map(str, network_nodes[one.name])),)
    return found | _plan_pci(demand, sriov)


def _plan_pci(
    demand: host_demand.HostDemand, sriov: Sequence[SriovPlan]
) -> dict[str, tuple[str, ...]]:
    specs = tuple(
        json.dumps(
            {
                "address": one.pci_address,
                "physical_network": one.physical_network,
                **({"trusted": "true"} if one.trusted else {}),
            }
        )
        for one in sriov
    )
    aliases: dict[str, str] = {}
    unknown = {one.physical_network for one in sriov if one.node is None}
    strict = {host_demand.Affinity.REQUIRED, host_demand.Affinity.SOCKET}
    for one in sriov:
        network = demand.network(one.physical_network)
        if one.vendor_id and one.vf_product_id and network is not None:
            aliases[one.physical_network] = json.dumps(
                {
                    "name": one.physical_network,
                    "vendor_id": one.vendor_id,
                    "product_id": one.vf_product_id,
                    "device_type": "type-VF",
                    "numa_policy": "legacy"
                    if network.name in unknown and network.affinity in strict
                    else str(network.affinity),
                }
            )
    found = {"pci/device_spec": specs} if specs else {}
    return found | ({"pci/alias": tuple(aliases.values())} if aliases else {})


def plan_neutron(
    demand: host_demand.HostDemand, sriov: Sequence[SriovPlan], *, has_dpdk: bool
) -> dict[str, tuple[str, ...]]:
    """Write the agents' configuration as `section/option` -> values."""
    found: dict[str, tuple[str, ...]] = {}
    if demand.backend is host_demand.Backend.OVS:
        found["ovs/bridge_mappings"] = (",".join(bridge_mappings(demand)),)
        if has_dpdk:
            found["ovs/datapath_type"] = ("netdev",)
            found["ovs/vhostuser_socket_dir"] = (VHOST_SOCKETS,)
    elif has_dpdk:
        found["ovn/vhost_sock_dir"] = (VHOST_SOCKETS,)
    # A card's own switch has no agent: Open vSwitch and OVN do it.
    mapped = [one for one in sriov if not one.switchdev]
    if mapped:
        found["sriov_nic/physical_device_mappings"] = (
            ",".join(f"{one.physical_network}:{one.nic}" for one in mapped),
        )
    return found


def plan_tuned(nodes: Sequence[NodePlan]) -> dict[str, str]:
    """Write the variables of tuned's cpu-partitioning profile."""
    isolated = sorted(
        cpu for node in nodes for cpu in (*node.pmd_cpus, *node.idle_cpus, *node.dedicated_cpus)
    )
    pmds = sorted(cpu for node in nodes for cpu in (*node.pmd_cpus, *node.idle_cpus))
    found = {"isolated_cores": render_list(isolated)} if isolated else {}
    return found | ({"no_balance_cores": render_list(pmds)} if pmds else {})


def _plan_kinds(flavor: host_demand.FlavorDemand) -> dict[str, str]:
    """Write which virtual CPUs are dedicated, and which are realtime."""
    found: dict[str, str] = {}
    if flavor.dedicated_vcpus:
        found["hw:cpu_dedicated_mask"] = flavor.dedicated_vcpus
    if flavor.realtime:
        found["hw:cpu_realtime"] = "yes"
        if flavor.realtime_vcpus:
            found["hw:cpu_realtime_mask"] = flavor.realtime_vcpus
    return found


def plan_extra_specs(flavor: host_demand.FlavorDemand, *, affinity: str) -> dict[str, str]:
    """Write the extra specs of a flavor.

    Args:
        flavor: the flavor.
        affinity: policy for its virtual functions; empty where it has none.
    """
    found: dict[str, str] = {"hw:cpu_policy": str(flavor.cpu_policy)}
    found |= _plan_kinds(flavor)
    pinned = flavor.cpu_policy is not host_demand.CpuPolicy.SHARED
    if pinned:
        found["hw:cpu_thread_policy"] = str(flavor.thread_policy)
        if flavor.emulator_threads is not host_demand.EmulatorThreads.NONE:
            found["hw:emulator_threads_policy"] = str(flavor.emulator_threads)
    size = page_kib(flavor.page_size)
    # Without a size Nova counts no pages, and gives instances the memory of huge ones too.
    small = size == SMALL_KIB
    found["hw:mem_page_size"] = "small" if small else "large" if size is None else str(size)
    if flavor.numa_nodes > 1 or flavor.networks:
        found["hw:numa_nodes"] = str(flavor.numa_nodes)
    if affinity:
        found["hw:pci_numa_affinity_policy"] = affinity
    if flavor.multiqueue:
        found["hw:vif_multiqueue_enabled"] = "true"
    return found
