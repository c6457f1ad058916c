"""Reading a demand, and finding everything in it that contradicts itself.

These faults need no hardware to be seen; what only a certain host cannot do is a `Constraint` of
planning.
"""

import math
import re
from collections import Counter
from typing import Any

from isthmus import errors
from isthmus.facts import cpuset, validity
from isthmus.facts.source import document, kind
from isthmus.model.host import host_demand as model

_PAGE = re.compile(r"^(\d+) ?([KMG])i?B$")
_UNITS = {"K": 1, "M": 1024, "G": 1048576}
#: Sizes of huge pages that some kernel of some CPU has, in KiB: x86 (2M, 1G), arm64 by the size of
#: its small page (4K: 64K, 2M, 32M, 1G; 16K: 2M, 32M; 64K: 2M, 512M, 16G), POWER (radix 2M, 1G;
#: hash 16M, 16G), s390 (1M, 2G), RISC-V (64K, 2M, 1G). Linux, Documentation/mm/hugetlbpage.
PAGE_SIZES_KIB = frozenset({64, 1024, 2048, 16384, 32768, 524288, 1048576, 2097152, 16777216})
SMALL_KIB = 4
QUEUE_SIZES = (0, 256, 512, 1024)  #: that QEMU's virtio-net takes and Nova lets one choose
RX_DESCRIPTORS = (1, 4096)  #: ovs-vswitchd.conf.db, Interface: n_rxq_desc
#: What no name has: it stands in options, lists, commands and paths.
_NO_NAME = frozenset(" ,:\"'\\=[]{}();&|<>$`*?!#~/")
LONGEST_NAME = 15  #: IFNAMSIZ less the final zero

#: IPv4 minimum (RFC 791) and the largest frame that any Ethernet driver of DPDK takes.
MTU_RANGE = (68, 9710)


def parse_demand(text: str, *, name: str = "the demand") -> model.HostDemand:
    """Read a demand from YAML or JSON.

    Raises:
        Invalid: it is not one, or contradicts itself; every fault is named.
    """
    kind.refuse_facts(text, "a demand", what=name)
    read: Any = document.read_document(text, what=name)
    if not isinstance(read, dict):
        raise errors.Invalid(f"{name} is empty or no mapping; see docs/howto/nfv.md for one")
    kind.refuse_other(read, "a demand", what=name)
    demand = document.parse_noun(model.HostDemand, read, what=name)
    if faults := check_demand(demand):
        raise errors.Invalid(f"{name} has faults: {'; '.join(faults)}")
    return demand


def page_kib(name: str) -> int | None:
    """Return the size of a page by its name, in KiB; None for `large` and what is no size."""
    if name == "small":
        return SMALL_KIB
    match = _PAGE.match(name)
    return int(match[1]) * _UNITS[match[2]] if match else None


def is_page_size(name: str) -> bool:
    """Tell whether a name is that of a huge page."""
    return page_kib(name) in PAGE_SIZES_KIB


def size_name(kib: int) -> str:
    """Return the name of a page size."""
    for unit, size in (("GiB", 1048576), ("MiB", 1024)):
        if kib >= size and kib % size == 0:
            return f"{kib // size} {unit}"
    return f"{kib} KiB"


def default_page_kib(demand: model.HostDemand) -> int:
    """Return the size of the default huge page of a sound demand, in KiB."""
    kib = page_kib(demand.page_size)
    assert kib is not None
    return kib


def bridge_name(network: model.PhysicalNetwork) -> str:
    """Return the Open vSwitch bridge of a physical network."""
    return network.bridge or f"br-{network.name}"


def check_demand(demand: model.HostDemand) -> tuple[str, ...]:
    """List the contradictions of a demand; empty where there is none."""
    faults: list[str] = []
    if not demand.physical_networks and not demand.flavors:
        faults.append("it asks for nothing: give physical_networks or flavors")
    faults += _check_names(demand)
    for network in demand.physical_networks:
        faults += _check_network(network)
    paths = {network.by for network in demand.physical_networks}
    if {model.DataPath.OVS_DPDK, model.DataPath.SWITCHDEV} <= paths:
        faults.append(
            "networks go by ovs-dpdk and by switchdev: one Open vSwitch has its bridges in user "
            "space or in the kernel, not both"
        )
    faults += _check_reserve(demand)
    for flavor in demand.flavors:
        faults += _check_flavor(demand, flavor)
    return tuple(faults)


def _check_names(demand: model.HostDemand) -> list[str]:
    faults: list[str] = []
    for what, names in (
        ("physical networks", [one.name for one in demand.physical_networks]),
        ("flavors", [one.name for one in demand.flavors]),
    ):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            faults.append(f"two {what} are called {', '.join(twice)}")
        if not all(name.isprintable() and name and not set(name) & _NO_NAME for name in names):
            faults.append(f"names of {what} must be plain words")
    if any(one.name == "tunnel" for one in demand.physical_networks):
        faults.append(
            "no physical network can be called tunnel: flavors mean tenant networks by it"
        )
    faults += _check_bridges(demand)
    uses = Counter(nic for one in demand.physical_networks for nic in one.nics)
    if twice := [nic for nic, count in uses.items() if count > 1]:
        faults.append(f"the port {', '.join(twice)} is given to two physical networks")
    tunnel = demand.tunnel_network
    if tunnel and demand.network(tunnel) is None:
        faults.append(f"tunnel_network {tunnel} is none of the physical networks")
    return faults


def _check_bridges(demand: model.HostDemand) -> list[str]:
    """Check names of bridges: Neutron wants one for each network, and has two of its own."""
    names = [
        bridge_name(one) for one in demand.physical_networks if one.by is not model.DataPath.SRIOV
    ]
    faults = [f"{name} is Neutron's own bridge" for name in sorted({*names} & {"br-int", "br-tun"})]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        faults.append(f"two physical networks have the bridge {', '.join(twice)}")
    if wrong := [name for name in names if not validity.is_interface_name(name)]:
        faults.append(f"{', '.join(map(repr, wrong))} is no name of a bridge")
    return faults


def _check_network(network: model.PhysicalNetwork) -> list[str]:
    faults: list[str] = []
    say = f"physical network {network.name}"
    if not network.nics:
        faults.append(f"{say} has no port: list its nics")
    if not MTU_RANGE[0] <= network.mtu <= MTU_RANGE[1]:
        faults.append(f"{say} has MTU {network.mtu}, outside {MTU_RANGE[0]} to {MTU_RANGE[1]}")
    if not (math.isfinite(network.packet_rate_mpps) and 0 <= network.packet_rate_mpps <= 1000):
        faults.append(f"{say} has packet rate {network.packet_rate_mpps} million a second")
    if not network.by.has_functions and (network.vfs is not None or network.trusted):
        faults.append(
            f"{say} goes by {network.by}, so it has no virtual functions to count or trust"
        )
    if network.vfs is not None and network.vfs < 0:
        faults.append(f"{say} wants {network.vfs} virtual functions")
    faults += _check_bond(network)
    faults += _check_ports(network)
    return faults


def _check_bond(network: model.PhysicalNetwork) -> list[str]:
    faults: list[str] = []
    say = f"physical network {network.name}"
    balance_tcp = network.bond_mode is model.BondMode.BALANCE_TCP
    if network.bond and balance_tcp and network.lacp is model.Lacp.OFF:
        faults.append(f"{say} has bond_mode balance-tcp, which needs lacp: active or passive")
    if not network.bond and (
        network.lacp is not model.Lacp.OFF or network.bond_mode is not model.BondMode.ACTIVE_BACKUP
    ):
        faults.append(f"{say} has bond_mode or lacp but no bond")
    if network.bond and len(network.nics) < 2:
        faults.append(f"{say} asks for a bond of {len(network.nics)} port")
    return faults


def _check_ports(network: model.PhysicalNetwork) -> list[str]:
    faults: list[str] = []
    say = f"physical network {network.name}"
    if not network.spoof_check and not network.by.has_functions:
        faults.append(f"{say} goes by {network.by}, so it has no virtual functions to check")
    if network.rx_descriptors is not None and (
        network.by is not model.DataPath.OVS_DPDK
        or not RX_DESCRIPTORS[0] <= network.rx_descriptors <= RX_DESCRIPTORS[1]
        or network.rx_descriptors & (network.rx_descriptors - 1)
    ):
        faults.append(
            f"{say} has {network.rx_descriptors} rx_descriptors: a power of two up to 4096, for "
            "ovs-dpdk"
        )
    if network.by is not model.DataPath.OVS_DPDK and (network.bond or network.af_packet):
        faults.append(f"{say} goes by {network.by}, but bond and af_packet are for ovs-dpdk")
    if len(bridge_name(network)) > LONGEST_NAME:
        faults.append(
            f"{say} would have the bridge {bridge_name(network)}, longer than the {LONGEST_NAME} "
            "characters of an interface name: give it a shorter bridge"
        )
    return faults


def _check_reserve(demand: model.HostDemand) -> list[str]:
    faults: list[str] = []
    host, pmd = demand.host, demand.pmd
    if host.cores_per_node < 1:
        faults.append(
            "host.cores_per_node must be at least 1: the kernel needs a core of each node"
        )
    negatives = {
        "host.shared_cores_per_node": host.shared_cores_per_node,
        "host.memory_mib": host.memory_mib,
        "host.memory_per_instance_mib": host.memory_per_instance_mib,
        "pmd.max_sleep_us": pmd.max_sleep_us,
        **{f"pmd.cores[{node}]": cores for node, cores in pmd.cores.items()},
    }
    faults += [f"{name} is negative" for name, value in negatives.items() if value < 0]
    if not (math.isfinite(pmd.mpps_per_core) and pmd.mpps_per_core > 0):
        faults.append("pmd.mpps_per_core must be above 0")
    if pmd.memory_channels is not None and not 1 <= pmd.memory_channels <= 32:
        faults.append("pmd.memory_channels must be 1 to 32")
    if pmd.max_sleep_us > 10_000:
        faults.append("pmd.max_sleep_us must be at most 10000, as Open vSwitch has it")
    if not is_page_size(demand.page_size):
        faults.append(
            f"page_size {demand.page_size!r} is the size of no huge page: use 2MiB, 1GiB, 512MiB, "
            "16MiB or what the host has"
        )
    if demand.vhost_queue_size not in QUEUE_SIZES:
        faults.append(f"vhost_queue_size {demand.vhost_queue_size} is none of 0, 256, 512 and 1024")
    if not (math.isfinite(demand.shared_ratio) and demand.shared_ratio >= 1):
        faults.append("shared_ratio must be at least 1")
    return faults


def _check_flavor(demand: model.HostDemand, flavor: model.FlavorDemand) -> list[str]:
    faults = _check_size(flavor)
    say = f"flavor {flavor.name}"
    shared = flavor.cpu_policy is model.CpuPolicy.SHARED
    if shared and flavor.thread_policy is not model.ThreadPolicy.PREFER:
        faults.append(f"{say} shares CPUs, so thread policy {flavor.thread_policy} means nothing")
    if shared and flavor.emulator_threads is model.EmulatorThreads.ISOLATE:
        faults.append(f"{say} shares CPUs, so its emulator threads cannot be isolated")
    faults += _check_kinds(flavor)
    for name in flavor.networks:
        network = demand.network(name)
        if network is None and name != "tunnel":
            faults.append(f"{say} uses {name}, which is none of the physical networks")
        elif name == "tunnel" and not demand.tunnel_network:
            faults.append(f"{say} uses tunnel, but tunnel_network is not given")
        elif flavor.page_size == "small" and _reaches_dpdk(demand, name):
            faults.append(
                f"{say} has small pages but uses {name} by ovs-dpdk: vhost-user needs huge pages"
            )
    return faults


def _is_all_realtime(flavor: model.FlavorDemand) -> bool:
    try:
        cpus = cpuset.parse_vcpus(flavor.realtime_vcpus, max(flavor.vcpus, 1))
    except errors.Invalid:
        return False  # said elsewhere
    return not flavor.realtime_vcpus or len(cpus) == flavor.vcpus


def _check_kinds(flavor: model.FlavorDemand) -> list[str]:
    """Check CPU policy, dedicated and realtime virtual CPUs for consistency, as Nova does."""
    faults: list[str] = []
    say = f"flavor {flavor.name}"
    mixed = flavor.cpu_policy is model.CpuPolicy.MIXED
    if flavor.dedicated_vcpus and not mixed:
        faults.append(f"{say} names dedicated_vcpus, which only cpu_policy mixed has")
    if flavor.realtime_vcpus and not flavor.realtime:
        faults.append(f"{say} names realtime_vcpus but not realtime: true")
    if flavor.realtime and flavor.cpu_policy is model.CpuPolicy.SHARED:
        faults.append(f"{say} shares CPUs, so it cannot be realtime")
    if mixed and bool(flavor.dedicated_vcpus) == bool(flavor.realtime_vcpus):
        faults.append(
            f"{say} has cpu_policy mixed: give dedicated_vcpus, or realtime with realtime_vcpus"
        )
    if (
        flavor.realtime
        and flavor.emulator_threads is model.EmulatorThreads.NONE
        and _is_all_realtime(flavor)
    ):
        faults.append(
            f"{say} is realtime on all virtual CPUs: its emulator threads need emulator_threads "
            "share or isolate"
        )
    for what, text in (
        ("dedicated_vcpus", flavor.dedicated_vcpus),
        ("realtime_vcpus", flavor.realtime_vcpus),
    ):
        try:
            cpus = cpuset.parse_vcpus(text, max(flavor.vcpus, 1))
        except errors.Invalid as exc:
            faults.append(f"{say}: {what}: {exc.message}")
            continue
        if text and (not cpus or (mixed and len(cpus) == flavor.vcpus)):
            faults.append(f"{say}: {what} {text!r} names none of its virtual CPUs, or all")
    return faults


def _check_size(flavor: model.FlavorDemand) -> list[str]:
    faults: list[str] = []
    say = f"flavor {flavor.name}"
    if flavor.vcpus < 1 or flavor.ram_mib < 1 or flavor.disk_gib < 0 or flavor.count < 0:
        faults.append(
            f"{say} has {flavor.vcpus} vCPUs, {flavor.ram_mib} MiB, {flavor.disk_gib} GiB of disk, "
            f"{flavor.count} wanted"
        )
        return faults
    if flavor.numa_nodes < 1:
        faults.append(f"{say} has {flavor.numa_nodes} NUMA nodes")
    elif flavor.vcpus % flavor.numa_nodes or flavor.ram_mib % flavor.numa_nodes:
        faults.append(
            f"{say} cannot split {flavor.vcpus} vCPUs and {flavor.ram_mib} MiB evenly over "
            f"{flavor.numa_nodes} NUMA nodes"
        )
    if flavor.page_size not in {"large", "small"} and not is_page_size(flavor.page_size):
        faults.append(
            f"{say} has page size {flavor.page_size!r}: use large, small, or a size such as 2MiB "
            "or 1GiB"
        )
    elif flavor.ram_mib * 1024 // max(flavor.numa_nodes, 1) % (page_kib(flavor.page_size) or 1):
        faults.append(
            f"{say} has {flavor.ram_mib} MiB, no multiple of its {flavor.page_size} pages"
        )
    return faults


def _reaches_dpdk(demand: model.HostDemand, name: str) -> bool:
    network = demand.network(demand.tunnel_network if name == "tunnel" else name)
    return network is not None and network.by is model.DataPath.OVS_DPDK
