"""Facts of a live Linux host to its inventory.

Source:
    Linux Documentation/ABI/stable/sysfs-devices-node, ABI/testing/sysfs-bus-pci and
    Documentation/admin-guide/cputopology.rst.
"""

import re

from isthmus import errors
from isthmus.facts import cpuset, dump, validity
from isthmus.facts.fact import Fact, command, file, function, link, words
from isthmus.model.host import host_inventory as model

_CPU = "/sys/devices/system/cpu/cpu"
_NODE = "/sys/devices/system/node/node"
_NET = "/sys/class/net/"
_PCI = "/sys/bus/pci/devices/"
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)
#: Names that drivers give interfaces which stand for functions: pf0vf1, c1pf0vf1, pf0sf88, pf0hpf.
_REPRESENTOR = re.compile(r"pf\d+(vf|sf)\d+|hpf")
_MEM_TOTAL = re.compile(r"MemTotal:\s+(\d+) kB")
_NETWORK_CLASS = 0x02  #: PCI base class "network controller"
#: Files that describe hardware; globs of the shell.
HARDWARE_FILES = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/hostname",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/smt/active",
    "/sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id",
    "/sys/devices/system/cpu/cpu[0-9]*/topology/core_id",
    "/sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list",
    "/sys/devices/system/cpu/cpu[0-9]*/cache/index3/size",
    "/sys/devices/system/cpu/cpu[0-9]*/cache/index3/shared_cpu_list",
    "/sys/devices/system/node/node[0-9]*/cpulist",
    "/sys/devices/system/node/node[0-9]*/meminfo",
    "/sys/devices/system/node/node[0-9]*/distance",
    "/sys/devices/system/node/node[0-9]*/hugepages/hugepages-*/nr_hugepages",
    "/sys/devices/system/node/node[0-9]*/hugepages/hugepages-*/free_hugepages",
    "/sys/class/net/*/address",
    "/sys/class/net/*/mtu",
    "/sys/class/net/*/speed",
    "/sys/class/net/*/operstate",
    "/sys/class/net/*/phys_port_name",
    "/sys/class/net/*/dev_port",
    "/sys/bus/pci/devices/*/class",
    "/sys/bus/pci/devices/*/vendor",
    "/sys/bus/pci/devices/*/device",
    "/sys/bus/pci/devices/*/numa_node",
    "/sys/bus/pci/devices/*/sriov_totalvfs",
    "/sys/bus/pci/devices/*/sriov_numvfs",
    "/sys/bus/pci/devices/*/sriov_vf_device",
)
#: Links whose target says something.
LINKS = (
    "/sys/class/net/*/device",
    "/sys/bus/pci/devices/*/driver",
    "/sys/bus/pci/devices/*/iommu_group",
    "/sys/bus/pci/devices/*/physfn",
    "/sys/class/iommu/*",
)


def parse_host(seen: dump.HostFacts) -> model.HostInventory:
    """Make the inventory of what was seen.

    Raises:
        ProtocolError: no CPU or memory was seen at all.
        Invalid: what was seen cannot be.
    """
    try:
        return _parse_host(seen)
    except ValueError as exc:
        raise errors.ProtocolError(f"the hardware in the facts is garbled: {exc}") from exc


def _parse_host(seen: dump.HostFacts) -> model.HostInventory:
    node_of = {
        cpu: int(node)
        for node, text in seen.matching(_NODE, "/cpulist")
        for cpu in cpuset.parse_list(text)
    }
    nodes = parse_nodes(seen)
    cores = parse_cores(seen, node_of)
    if not cores or not nodes:
        raise errors.ProtocolError("the facts show no CPU or no memory: was sysfs mounted?")
    vendor, cpu_model = parse_cpu_name(seen.text("/proc/cpuinfo"))
    return validity.require_valid(
        model.HostInventory(
            name=seen.text("/proc/sys/kernel/hostname") or "host",
            source="live",
            cpu_vendor=vendor,
            cpu_model=cpu_model,
            cores=cores,
            nodes=nodes,
            caches=parse_caches(seen),
            nics=parse_nics(seen),
            page_sizes_kib=tuple(
                sorted({pool.size_kib for node in nodes for pool in node.hugepages})
            ),
            iommu=any(path.startswith("/sys/class/iommu/") for path in seen.links),
            kernel_release=seen.text("/proc/sys/kernel/osrelease"),
            kernel_line=seen.text("/proc/cmdline"),
            ovs_version=parse_version(seen.commands.get("ovs-version", ""), r"vSwitch\) (\S+)"),
            dpdk_version=parse_version(seen.commands.get("ovs-version", ""), r"DPDK (\S+)"),
        )
    )


def parse_nodes(seen: dump.HostFacts) -> tuple[model.NumaNode, ...]:
    """Read the NUMA nodes; a kernel without NUMA has one."""
    found: list[model.NumaNode] = []
    for name, meminfo in seen.matching(_NODE, "/meminfo"):
        match = _MEM_TOTAL.search(meminfo)
        distances = seen.text(f"{_NODE}{name}/distance").split()
        found.append(
            model.NumaNode(
                id=int(name),
                memory_mib=int(match[1]) // 1024 if match else 0,
                distances=tuple(map(int, distances)),
                hugepages=parse_hugepages(seen, name),
            )
        )
    if not found and (match := _MEM_TOTAL.search(seen.text("/proc/meminfo"))):
        found.append(model.NumaNode(id=0, memory_mib=int(match[1]) // 1024))
    return tuple(sorted(found, key=lambda node: node.id))


def parse_hugepages(seen: dump.HostFacts, node: str) -> tuple[model.HugePages, ...]:
    """Read the pools of one node, smallest pages first."""
    prefix = f"{_NODE}{node}/hugepages/hugepages-"
    return tuple(
        sorted(
            (
                model.HugePages(
                    size_kib=int(size),
                    total=int(total),
                    free=seen.number(f"{prefix}{size}kB/free_hugepages"),
                )
                for size, total in seen.matching(prefix, "kB/nr_hugepages")
            ),
            key=lambda pool: pool.size_kib,
        )
    )


def parse_cores(seen: dump.HostFacts, node_of: dict[int, int]) -> tuple[model.Core, ...]:
    """Read cores; siblings tell a core, since core_id repeats across dies."""
    found: dict[tuple[int, ...], model.Core] = {}
    online = set(cpuset.parse_list(seen.text("/sys/devices/system/cpu/online")))
    for name, text in seen.matching(_CPU, "/topology/thread_siblings_list"):
        cpus = cpuset.parse_list(text) or (int(name),)
        if online and int(name) not in online:
            continue
        found[cpus] = model.Core(
            socket=max(seen.number(f"{_CPU}{name}/topology/physical_package_id") or 0, 0),
            id=max(seen.number(f"{_CPU}{name}/topology/core_id") or 0, 0),
            node=node_of.get(int(name), 0),
            cpus=cpus,
        )
    return tuple(sorted(found.values(), key=lambda core: core.cpus))


def parse_caches(seen: dump.HostFacts) -> tuple[model.Cache, ...]:
    """Read the third-level caches, one for each set of CPUs that shares one."""
    found: dict[tuple[int, ...], model.Cache] = {}
    for name, text in seen.matching(_CPU, "/cache/index3/shared_cpu_list"):
        cpus = cpuset.parse_list(text)
        size = seen.text(f"{_CPU}{name}/cache/index3/size").rstrip("K")
        found[cpus] = model.Cache(level=3, size_kib=int(size) if size.isdigit() else 0, cpus=cpus)
    return tuple(found[cpus] for cpus in sorted(found))


def parse_nics(seen: dump.HostFacts) -> tuple[model.Nic, ...]:
    """Read every port of a network device's physical functions, also where DPDK holds it already.

    A function may have several ports (ConnectX-3), and one whose switch is in use has an interface
    for each virtual function, which is no port.
    """
    names: dict[str, list[str]] = {}
    for path, target in seen.links.items():
        if path.startswith(_NET) and path.endswith("/device"):
            name = path[len(_NET) : -len("/device")]
            addresses = _ADDRESS.findall(target)
            if addresses and not _REPRESENTOR.search(seen.text(f"{_NET}{name}/phys_port_name")):
                names.setdefault(addresses[-1].lower(), []).append(name)
    carriers = parse_carriers(seen.commands.get("carriers", ""))
    found: list[model.Nic] = []
    for address, text in seen.matching(_PCI, "/class"):
        if int(text, 16) >> 16 != _NETWORK_CLASS or f"{_PCI}{address}/physfn" in seen.links:
            continue
        ports = sorted(
            names.get(address.lower(), [""]),
            key=lambda name: (seen.number(f"{_NET}{name}/dev_port") or 0, name),
        )
        found += [_parse_nic(seen, address, name, carriers.get(name, ())) for name in ports]
    return tuple(sorted(found, key=lambda nic: nic.pci_address))


def parse_carriers(text: str) -> dict[str, tuple[str, ...]]:
    """Read which ports the host itself needs, and for what."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, _, what = line.strip().partition(" ")
        if what and what not in found.get(name, ()):
            found[name] = (*found.get(name, ()), what)
    return found


def _parse_nic(
    seen: dump.HostFacts, address: str, name: str, carries: tuple[str, ...]
) -> model.Nic:
    device = f"{_PCI}{address}"
    node = seen.number(f"{device}/numa_node")
    speed = seen.number(f"{_NET}{name}/speed") if name else None
    group = seen.link(f"{device}/iommu_group")
    return model.Nic(
        name=name or address,
        pci_address=address,
        node=node if node is not None and node >= 0 else None,
        driver=seen.link(f"{device}/driver"),
        vendor_id=_hex4(seen.text(f"{device}/vendor")),
        product_id=_hex4(seen.text(f"{device}/device")),
        vf_product_id=_hex4(seen.text(f"{device}/sriov_vf_device")),
        mac=seen.text(f"{_NET}{name}/address") if name else "",
        speed_mbps=speed if speed is not None and speed > 0 else None,
        mtu=seen.number(f"{_NET}{name}/mtu") if name else None,
        max_vfs=seen.number(f"{device}/sriov_totalvfs") or 0,
        vfs=seen.number(f"{device}/sriov_numvfs") or 0,
        iommu_group=int(group) if group.isdigit() else None,
        carries=carries,
    )


def _hex4(text: str) -> str:
    digits = text.removeprefix("0x").lower()
    return digits if digits and int(digits, 16) else ""


def parse_cpu_name(cpuinfo: str) -> tuple[str, str]:
    """Find vendor and model; ARM names neither, so its implementer code must do."""
    found = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in cpuinfo.splitlines()[:40])
    }
    vendor = found.get("vendor_id", "ARM" if "CPU implementer" in found else "")
    if not vendor and found.get("cpu", "").upper().startswith("POWER"):
        return "IBM", found["cpu"]
    return vendor, found.get("model name", found.get("CPU part", ""))


def parse_version(text: str, pattern: str) -> str:
    """Find a version in what a program says of itself; empty where it does not."""
    match = re.search(pattern, text)
    return match[1] if match else ""


def parse_isolated(seen: dump.HostFacts) -> tuple[int, ...]:
    """Read which CPUs the kernel's scheduler leaves alone."""
    return cpuset.parse_list(seen.text("/sys/devices/system/cpu/isolated"))


def parse_nohz(seen: dump.HostFacts) -> tuple[int, ...]:
    """Read on which CPUs the tick stops; a kernel built without says (null)."""
    text = seen.text("/sys/devices/system/cpu/nohz_full")
    return () if "null" in text else cpuset.parse_list(text)


def parse_online(seen: dump.HostFacts) -> tuple[int, ...]:
    """Read which CPUs run.

    Raises:
        ValueError: the kernel says of no CPU that it runs.
    """
    online = cpuset.parse_list(seen.text("/sys/devices/system/cpu/online"))
    if not online:
        raise ValueError("/sys/devices/system/cpu/online is not there, or is empty")
    return online


def parse_smt(seen: dump.HostFacts) -> str:
    """Read whether hyper-threading is on: 1, 0, or nothing where the kernel does not say."""
    return seen.text("/sys/devices/system/cpu/smt/active")


def parse_links(seen: dump.HostFacts) -> dict[str, str]:
    """Read the operational state of each interface."""
    return {name: text.strip() for name, text in seen.matching(_NET, "/operstate")}


INVENTORY = Fact(
    "inventory",
    parse_host,
    (
        *map(file, HARDWARE_FILES),
        words("/proc/cmdline"),
        *map(link, LINKS),
        function("carriers"),
        command("ovs-version", "$X ovs-vswitchd --version"),
    ),
)
ISOLATED = Fact("isolated", parse_isolated, (file("/sys/devices/system/cpu/isolated"),))
NOHZ = Fact("nohz_full", parse_nohz, (file("/sys/devices/system/cpu/nohz_full"),))
ONLINE = Fact("online", parse_online, (file("/sys/devices/system/cpu/online"),))
SMT = Fact("smt", parse_smt, (file("/sys/devices/system/cpu/smt/active"),))
LINK_STATES = Fact("links", parse_links, (file("/sys/class/net/*/operstate"),))
FACTS = (INVENTORY, ISOLATED, NOHZ, ONLINE, SMT, LINK_STATES)
