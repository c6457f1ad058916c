"""Reading an intent, and finding everything in it that contradicts itself.

These faults need no hardware to be seen; what only a certain host cannot do is a `Constraint` of
planning.
"""

import math
from collections import Counter
from typing import Any

from isthmus import errors
from isthmus.model import nfv_intent as model
from isthmus.nfv.inspect import document

#: Page sizes by the names people write, in KiB.
PAGE_SIZES = {"2MiB": 2048, "1GiB": 1048576, "2MB": 2048, "1GB": 1048576}
SMALL_KIB = 4
LONGEST_NAME = 15  #: IFNAMSIZ less the final zero

#: IPv4 minimum (RFC 791) and the largest frame that any Ethernet driver of DPDK takes.
MTU_RANGE = (68, 9710)


def parse_intent(text: str, *, name: str = "the intent") -> model.NfvIntent:
    """Read an intent from YAML or JSON.

    Raises:
        Invalid: it is not one, or contradicts itself; every fault is named.
    """
    read: Any = document.read_document(text, what=name)
    if not isinstance(read, dict):
        raise errors.Invalid(f"{name} is empty or no mapping; see docs/howto/nfv.md for one")
    intent = document.parse_noun(model.NfvIntent, read, what=name)
    if faults := check_intent(intent):
        raise errors.Invalid(f"{name} contradicts itself: {'; '.join(faults)}")
    return intent


def page_kib(name: str) -> int | None:
    """Give the size of a page by its name; None for `large`."""
    return SMALL_KIB if name == "small" else PAGE_SIZES.get(name)


def bridge_name(network: model.PhysicalNetwork) -> str:
    """Give the Open vSwitch bridge of a physical network."""
    return network.bridge or f"br-{network.name}"


def check_intent(intent: model.NfvIntent) -> tuple[str, ...]:
    """List the contradictions of an intent; empty where there is none."""
    faults: list[str] = []
    if not intent.physical_networks and not intent.flavors:
        faults.append("it asks for nothing: give physical_networks or flavors")
    faults += _check_names(intent)
    for network in intent.physical_networks:
        faults += _check_network(network)
    faults += _check_reserve(intent)
    for flavor in intent.flavors:
        faults += _check_flavor(intent, flavor)
    return tuple(faults)


def _check_names(intent: model.NfvIntent) -> list[str]:
    faults: list[str] = []
    for what, names in (
        ("physical networks", [one.name for one in intent.physical_networks]),
        ("flavors", [one.name for one in intent.flavors]),
    ):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            faults.append(f"two {what} are called {', '.join(twice)}")
        if not all(name and not set(name) & set(" ,:\"'\\=[]{}\n\t") for name in names):
            faults.append(f"names of {what} must be plain words")
    uses = Counter(nic for one in intent.physical_networks for nic in one.nics)
    if twice := [nic for nic, count in uses.items() if count > 1]:
        faults.append(f"the port {', '.join(twice)} is given to two physical networks")
    tunnel = intent.tunnel_network
    if tunnel and intent.network(tunnel) is None:
        faults.append(f"tunnel_network {tunnel} is none of the physical networks")
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
    if network.by is not model.DataPath.SRIOV and (network.vfs is not None or network.trusted):
        faults.append(
            f"{say} goes by {network.by}, so it has no virtual functions to count or trust"
        )
    if network.vfs is not None and network.vfs < 0:
        faults.append(f"{say} wants {network.vfs} virtual functions")
    if network.by is not model.DataPath.OVS_DPDK and (network.bond or network.af_packet):
        faults.append(f"{say} goes by {network.by}, but bond and af_packet are for ovs-dpdk")
    if len(bridge_name(network)) > LONGEST_NAME:
        faults.append(
            f"{say} would have the bridge {bridge_name(network)}, longer than the {LONGEST_NAME} "
            "characters of an interface name: give it a shorter bridge"
        )
    if network.bond and len(network.nics) < 2:
        faults.append(f"{say} asks for a bond of {len(network.nics)} port")
    return faults


def _check_reserve(intent: model.NfvIntent) -> list[str]:
    faults: list[str] = []
    host, pmd = intent.host, intent.pmd
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
    if intent.page_size not in PAGE_SIZES:
        faults.append(f"page_size {intent.page_size!r} is neither 2MiB nor 1GiB")
    if not (math.isfinite(intent.shared_ratio) and intent.shared_ratio >= 1):
        faults.append("shared_ratio must be at least 1")
    return faults


def _check_flavor(intent: model.NfvIntent, flavor: model.FlavorWish) -> list[str]:
    faults = _check_size(flavor)
    say = f"flavor {flavor.name}"
    shared = flavor.cpu_policy is model.CpuPolicy.SHARED
    if shared and flavor.thread_policy is not model.ThreadPolicy.PREFER:
        faults.append(f"{say} shares CPUs, so thread policy {flavor.thread_policy} means nothing")
    if shared and flavor.emulator_threads is model.EmulatorThreads.ISOLATE:
        faults.append(f"{say} shares CPUs, so its emulator threads cannot be isolated")
    for name in flavor.networks:
        network = intent.network(name)
        if network is None and name != "tunnel":
            faults.append(f"{say} uses {name}, which is none of the physical networks")
        elif name == "tunnel" and not intent.tunnel_network:
            faults.append(f"{say} uses tunnel, but tunnel_network is not given")
        elif flavor.page_size == "small" and _reaches_dpdk(intent, name):
            faults.append(
                f"{say} has small pages but uses {name} by ovs-dpdk: vhost-user needs huge pages"
            )
    return faults


def _check_size(flavor: model.FlavorWish) -> list[str]:
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
    if flavor.page_size not in {"large", "small", *PAGE_SIZES}:
        faults.append(f"{say} has page size {flavor.page_size!r}: use large, small, 2MiB or 1GiB")
    elif flavor.ram_mib * 1024 // max(flavor.numa_nodes, 1) % (page_kib(flavor.page_size) or 1):
        faults.append(
            f"{say} has {flavor.ram_mib} MiB, no multiple of its {flavor.page_size} pages"
        )
    return faults


def _reaches_dpdk(intent: model.NfvIntent, name: str) -> bool:
    network = intent.network(intent.tunnel_network if name == "tunnel" else name)
    return network is not None and network.by is model.DataPath.OVS_DPDK
