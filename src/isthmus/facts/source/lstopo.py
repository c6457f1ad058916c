"""hwloc's XML (`lstopo --of xml`, versions 1 and 2) to an inventory.

It has all but what only the kernel says: how many virtual functions a device may have, IOMMU groups
and drivers. A device belongs to the node of the object that it hangs from, where that is one node.

Source:
    hwloc 2, `hwloc.dtd` and "Importing and exporting topologies from/to XML files".
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from isthmus import errors
from isthmus.facts import cpuset, validity
from isthmus.model.host import host_inventory as model

_NETWORK_CLASS = "02"
_CACHES = {"L3Cache", "Cache"}
#: Of a bitmap: words of 32 bits are written with 0x and a comma.
MOST_LETTERS = cpuset.MAX_CPU // 32 * len("0xffffffff,")
_IO = {"Bridge", "PCIDev", "OSDev", "Misc"}


def is_topology(text: str) -> bool:
    """Tell whether some text is hwloc's XML."""
    return "<topology" in text[:400] and "<capabilities" not in text[:400]


def parse_topology(text: str, *, name: str = "host") -> model.HostInventory:
    """Make an inventory of hwloc's XML.

    Raises:
        ProtocolError: it is garbled, or has no processing unit.
        Invalid: what is there cannot be.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314 - a file that a person named
    except ET.ParseError as exc:
        raise errors.ProtocolError(f"{name} is no XML: {exc}") from exc
    numa = _nodes(root)
    cores = _cores(root, numa)
    if not cores:
        raise errors.ProtocolError(f"{name} shows no processing unit: was it filtered?")
    infos = {one.get("name", ""): one.get("value", "") for one in root.iter("info")}
    pages = {
        int(one.get("size", "0")) // 1024
        for node in root.iter("object")
        for one in node.iterfind("page_type")
    }
    return validity.require_valid(
        model.HostInventory(
            name=infos.get("HostName") or name,
            source="lstopo",
            cpu_vendor=infos.get("CPUVendor", ""),
            cpu_model=infos.get("CPUModel", ""),
            cores=cores,
            nodes=tuple(
                model.NumaNode(id=node, memory_mib=mib, distances=_distances(root, node, numa))
                for node, (mib, _) in sorted(numa.items())
            ),
            caches=tuple(_caches(root)),
            nics=tuple(_nics(root, numa)),
            # The smallest is no huge page.
            page_sizes_kib=tuple(sorted(pages))[1:],
            kernel_release=infos.get("OSRelease", ""),
        )
    )


def parse_bitmap(text: str) -> frozenset[int]:
    """Read hwloc's bitmaps: hexadecimal words of 32 bits, the highest first.

    Raises:
        ProtocolError: it is none, or has no end.
    """
    words = list(text.split(","))
    if any("f...f" in word for word in words):
        raise errors.ProtocolError(f"the set {text[:40]!r} has no end")
    if len(text) > MOST_LETTERS:
        raise errors.ProtocolError(f"the set {text[:40]!r} is longer than any machine's")
    try:
        value = 0
        for word in words:
            value = value << 32 | (int(word, 16) if word else 0)
    except ValueError as exc:
        raise errors.ProtocolError(f"{text[:40]!r} is no set of hwloc's") from exc
    return frozenset(cpuset.list_bits(value))


def _number(element: ET.Element, key: str, otherwise: int = 0) -> int:
    text = element.get(key, "")
    return int(text) if text.lstrip("-").isdigit() else otherwise


def _nodes(root: ET.Element) -> dict[int, tuple[int, frozenset[int]]]:
    """Read nodes: id -> MiB and CPUs; a machine without any is one node."""
    found = {
        _number(one, "os_index"): (
            _number(one, "local_memory") // (1 << 20),
            parse_bitmap(one.get("cpuset", "0x0")),
        )
        for one in root.iter("object")
        if one.get("type") == "NUMANode"
    }
    if found:
        return found
    machine = next((one for one in root.iter("object") if one.get("type") == "Machine"), None)
    if machine is None:
        raise errors.ProtocolError("hwloc's XML has no machine")
    cpus = parse_bitmap(machine.get("cpuset", "0x0"))
    return {0: (_number(machine, "local_memory") // (1 << 20), cpus)}


def _walk(
    element: ET.Element, above: tuple[ET.Element, ...] = ()
) -> Iterator[tuple[ET.Element, tuple[ET.Element, ...]]]:
    for child in element.iterfind("object"):
        yield child, above
        yield from _walk(child, (*above, child))


def _cores(root: ET.Element, numa: dict[int, tuple[int, frozenset[int]]]) -> tuple[model.Core, ...]:
    node_of = {cpu: node for node, (_, cpus) in numa.items() for cpu in cpus}
    found: dict[tuple[int, int, int], list[int]] = {}
    for one, above in _walk(root):
        if one.get("type") != "PU":
            continue
        cpu = _number(one, "os_index")
        if cpu not in node_of and len(numa) > 1:
            raise errors.ProtocolError(f"hwloc's XML says on no NUMA node where CPU {cpu} is")
        core = next((each for each in reversed(above) if each.get("type") == "Core"), None)
        package = next(
            (each for each in reversed(above) if each.get("type") in {"Package", "Socket"}), None
        )
        key = (
            _number(package, "os_index") if package is not None else 0,
            # Core ids repeat on dies and nodes: hwloc's own number does not.
            id(core) if core is not None else -cpu - 1,
            _number(core, "os_index", cpu) if core is not None else cpu,
        )
        found.setdefault(key, []).append(cpu)
    return tuple(
        sorted(
            (
                model.Core(
                    socket=max(socket, 0),
                    id=max(number, 0),
                    node=node_of.get(cpus[0], min(numa)),
                    cpus=tuple(sorted(cpus)),
                )
                for (socket, _, number), cpus in found.items()
            ),
            key=lambda core: core.cpus,
        )
    )


def _distances(
    root: ET.Element, node: int, numa: dict[int, tuple[int, frozenset[int]]]
) -> tuple[int, ...]:
    """Read a row of NUMA distances; empty where they are not told, or not of all nodes."""
    ids = sorted(numa)
    for one in root.iter("distances2"):
        if one.get("type") != "NUMANode" or "Latency" not in one.get("name", "NUMALatency"):
            continue
        order = [
            int(word) for part in one.iterfind("indexes") for word in (part.text or "").split()
        ]
        values = [int(w) for part in one.iterfind("u64values") for w in (part.text or "").split()]
        if sorted(order) == ids and len(values) == len(ids) ** 2:
            row = order.index(node) * len(order)
            return tuple(values[row + order.index(other)] for other in ids)
    return ()


def _caches(root: ET.Element) -> Iterator[model.Cache]:
    for one in root.iter("object"):
        if one.get("type") in _CACHES and one.get("depth", "3") == "3":
            yield model.Cache(
                level=3,
                size_kib=_number(one, "cache_size") // 1024,
                cpus=tuple(sorted(parse_bitmap(one.get("cpuset", "0x0")))),
            )


def _nics(root: ET.Element, numa: dict[int, tuple[int, frozenset[int]]]) -> Iterator[model.Nic]:
    for one, above in _walk(root):
        kind = one.get("pci_type", "")
        if one.get("type") != "PCIDev" or not kind.startswith(_NETWORK_CLASS):
            continue
        address = one.get("pci_busid", "").lower()
        vendor, _, product = kind.partition("[")[2].partition("]")[0].partition(":")
        node = _node_of(above, numa)
        ports = [
            (each.get("name", ""), _info(each, "Address"))
            for each in one.iter("object")
            if each.get("type") == "OSDev" and _info(each, "Address")
        ]
        for name, mac in ports or [(address, "")]:
            yield model.Nic(
                name=name,
                pci_address=address,
                node=node,
                vendor_id=vendor.lower(),
                product_id=product.lower(),
                mac=mac,
            )


def _info(element: ET.Element, name: str) -> str:
    found = (one.get("value", "") for one in element.iterfind("info") if one.get("name") == name)
    return next(found, "")


def _node_of(
    above: tuple[ET.Element, ...], numa: dict[int, tuple[int, frozenset[int]]]
) -> int | None:
    """Return the node of what a device hangs from; None where that is more than one."""
    place = next((one for one in reversed(above) if one.get("type") not in _IO), None)
    if place is None:
        return None
    cpus = parse_bitmap(place.get("cpuset", "0x0"))
    nodes = [node for node, (_, mine) in numa.items() if mine & cpus]
    return nodes[0] if len(nodes) == 1 else None
