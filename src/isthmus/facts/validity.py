"""Is an inventory possible at all: one clear sentence for each thing that cannot be."""

import re
from collections import Counter

from isthmus import errors
from isthmus.model.host import host_inventory

#: Nobody builds these; beyond them a file is garbage, not a machine (Linux: CONFIG_NR_CPUS 8192,
#: MAX_NUMNODES 1024).
MOST_CPUS = 8192
MOST_NODES = 1024
MOST_MIB = 1 << 32  #: all that 52 bits of physical address reach (x86-64, arm64)
#: What the kernel and udev call interfaces; what is put into scripts has no other character.
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]+")
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ID = re.compile(r"[0-9a-f]{4}")


def is_interface_name(text: str) -> bool:
    """Tell whether some text can be the name of an interface, or its PCI address in the place."""
    return bool(_INTERFACE.fullmatch(text)) and text not in {".", ".."} and text[0] != "-"


def is_address(text: str) -> bool:
    """Tell whether some text is a PCI address as the kernel writes it."""
    return bool(_ADDRESS.fullmatch(text))


def is_host_name(text: str) -> bool:
    """Tell whether a host can be called so: the name stands in files and is a folder of them."""
    return text.isprintable() and "/" not in text and text[:1] not in {"", ".", "-", " "}


def check_inventory(inventory: host_inventory.HostInventory) -> tuple[str, ...]:
    """List what cannot be; empty for a sound inventory."""
    return (
        *_check_names(inventory),
        *_check_cpus(inventory),
        *_check_nodes(inventory),
        *_check_nics(inventory),
    )


def require_valid(inventory: host_inventory.HostInventory) -> host_inventory.HostInventory:
    """Return the inventory, or raise with everything that is wrong with it.

    Raises:
        Invalid: it cannot be.
    """
    faults = check_inventory(inventory)
    if faults:
        name = inventory.name if is_host_name(inventory.name) else "this host"
        raise errors.Invalid(f"the inventory of {name} cannot be: {'; '.join(faults)}")
    return inventory


def _check_names(inventory: host_inventory.HostInventory) -> list[str]:
    faults: list[str] = []
    if not is_host_name(inventory.name):
        faults.append(f"{inventory.name[:80]!r} is no name of a host")
    for nic in inventory.nics:
        if not nic.name.isprintable() or not nic.mac.isprintable():
            faults.append(f"{nic.name[:40]!r} is no name of an interface, or {nic.mac[:40]!r} none")
        if nic.pci_address and not is_address(nic.pci_address):
            faults.append(f"{nic.name[:40]!r} has the PCI address {nic.pci_address[:40]!r}")
        ids = (nic.vendor_id, nic.product_id, nic.vf_product_id)
        if any(one and not _ID.fullmatch(one) for one in ids):
            faults.append(
                f"{nic.name[:40]!r} has the PCI ids {', '.join(repr(one[:20]) for one in ids)}: "
                "four hexadecimal digits each"
            )
    return faults


def _check_cpus(inventory: host_inventory.HostInventory) -> list[str]:
    faults: list[str] = []
    counts = Counter(cpu for core in inventory.cores for cpu in core.cpus)
    if not counts:
        faults.append("it has no CPU")
    if len(counts) > MOST_CPUS or any(cpu < 0 or cpu >= MOST_CPUS for cpu in counts):
        faults.append(f"it has CPU numbers outside 0 to {MOST_CPUS - 1}")
    if twice := sorted(cpu for cpu, count in counts.items() if count > 1):
        faults.append(f"CPU {', '.join(map(str, twice[:8]))} belongs to two cores")
    if any(not core.cpus for core in inventory.cores):
        faults.append("a core has no CPU")
    known = set(inventory.node_ids)
    if strays := sorted({core.node for core in inventory.cores} - known):
        faults.append(f"cores sit on NUMA node {', '.join(map(str, strays))}, which is not there")
    return faults


def _check_nodes(inventory: host_inventory.HostInventory) -> list[str]:
    faults: list[str] = []
    ids = inventory.node_ids
    if not ids:
        faults.append("it has no NUMA node")
    if len(ids) != len(set(ids)) or list(ids) != sorted(ids):
        faults.append("its NUMA nodes are not listed once each in ascending order")
    if len(ids) > MOST_NODES or any(node < 0 for node in ids):
        faults.append(f"it has more than {MOST_NODES} NUMA nodes, or negative ones")
    for node in inventory.nodes:
        faults += _check_node(node, len(ids))
    if ids and not any(node.memory_mib for node in inventory.nodes):
        faults.append("no NUMA node has memory")
    return faults


def _check_node(node: host_inventory.NumaNode, count: int) -> list[str]:
    faults: list[str] = []
    if not 0 <= node.memory_mib <= MOST_MIB:
        faults.append(f"node {node.id} has {node.memory_mib} MiB of memory")
    if node.distances and len(node.distances) != count:
        faults.append(f"node {node.id} gives {len(node.distances)} distances for {count} nodes")
    if any(distance < 10 for distance in node.distances):
        faults.append(f"node {node.id} gives a distance under 10, which ACPI forbids")
    for pool in node.hugepages:
        if pool.size_kib <= 0 or pool.total < 0:
            faults.append(f"node {node.id} has {pool.total} pages of {pool.size_kib} KiB")
        elif pool.total * pool.size_kib > node.memory_mib * 1024:
            faults.append(f"node {node.id} has more huge pages than memory")
    return faults


def _check_nics(inventory: host_inventory.HostInventory) -> list[str]:
    faults: list[str] = []
    known = set(inventory.node_ids)
    for nic in inventory.nics:
        if nic.node is not None and nic.node not in known:
            faults.append(f"{nic.name} sits on NUMA node {nic.node}, which is not there")
        if nic.vfs > nic.max_vfs:
            faults.append(f"{nic.name} has {nic.vfs} virtual functions of at most {nic.max_vfs}")
    names = Counter(nic.name for nic in inventory.nics)
    if twice := sorted(name for name, count in names.items() if count > 1):
        faults.append(f"two interfaces are called {', '.join(twice)}")
    return faults
