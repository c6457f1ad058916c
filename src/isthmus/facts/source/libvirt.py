"""libvirt's capabilities (`virsh capabilities`) to an inventory, with devices that follow.

After the capabilities may come what `virsh nodedev-dumpxml` says of any number of devices, one
after the other; without them the host has no port.

Source:
    libvirt, "Driver capabilities XML format" and "Node devices XML format".
"""

import re
import xml.etree.ElementTree as ET

from isthmus import errors
from isthmus.facts import cpuset, validity
from isthmus.model.host import host_inventory as model

_DECLARATION = re.compile(r"<\?xml[^>]*\?>")
_VENDORS = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD", "Hygon": "HygonGenuine"}
_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "KiB": 1, "MiB": 1024, "GiB": 1048576, "KB": 1000 / 1024}


def is_capabilities(text: str) -> bool:
    """Tell whether some text begins with libvirt's capabilities."""
    return "<capabilities" in text[:400]


def parse_capabilities(text: str, *, name: str = "host") -> model.HostInventory:
    """Make an inventory of libvirt's capabilities.

    Raises:
        ProtocolError: it is garbled, or has no NUMA topology.
        Invalid: what is there cannot be.
    """
    try:
        root = ET.fromstring(f"<all>{_DECLARATION.sub('', text)}</all>")  # noqa: S314
    except ET.ParseError as exc:
        raise errors.ProtocolError(f"{name} is no XML: {exc}") from exc
    host = root.find("capabilities/host")
    cells = host.findall("topology/cells/cell") if host is not None else []
    if host is None or not cells:
        raise errors.ProtocolError(f"{name}: libvirt's capabilities have no NUMA topology")
    cpu = host.find("cpu")
    vendor = cpu.findtext("vendor", "") if cpu is not None else ""
    arch = cpu.findtext("arch", "") if cpu is not None else ""
    sizes = {
        _kib(one.get("size", "0"), one.get("unit", "KiB")) for one in host.iterfind("cpu/pages")
    }
    iommu = host.find("iommu")
    order = sorted(_id(cell) for cell in cells)
    return validity.require_valid(
        model.HostInventory(
            name=name,
            source="capabilities",
            cpu_vendor=_VENDORS.get(vendor, vendor) or ("ARM" if arch == "aarch64" else ""),
            cpu_model=cpu.findtext("model", "") if cpu is not None else "",
            cores=_cores(cells),
            nodes=tuple(_node(cell, order) for cell in sorted(cells, key=_id)),
            caches=tuple(
                model.Cache(
                    level=3,
                    size_kib=_kib(bank.get("size", "0"), bank.get("unit", "KiB")),
                    cpus=cpuset.parse_list(bank.get("cpus", "")),
                )
                for bank in host.iterfind("cache/bank")
                if bank.get("level") == "3"
            ),
            nics=_nics(root),
            page_sizes_kib=tuple(sorted(sizes))[1:],
            iommu=None if iommu is None else iommu.get("support") == "yes",
        )
    )


def _id(element: ET.Element) -> int:
    return int(element.get("id", "0"))


def _kib(size: str | None, unit: str) -> int:
    return int(int(size or 0) * _KIB.get(unit, 1))


def _cores(cells: list[ET.Element]) -> tuple[model.Core, ...]:
    found: dict[tuple[int, ...], model.Core] = {}
    for cell in cells:
        for cpu in cell.iterfind("cpus/cpu"):
            siblings = cpuset.parse_list(cpu.get("siblings", cpu.get("id", "0")))
            found[siblings] = model.Core(
                socket=max(int(cpu.get("socket_id", "0")), 0),
                id=max(int(cpu.get("core_id", "0")), 0),
                node=_id(cell),
                cpus=siblings,
            )
    return tuple(sorted(found.values(), key=lambda core: core.cpus))


def _node(cell: ET.Element, order: list[int]) -> model.NumaNode:
    memory = cell.find("memory")
    pages = {
        _kib(one.get("size", "0"), one.get("unit", "KiB")): int(one.text or 0)
        for one in cell.iterfind("pages")
    }
    rows = {_id(one): int(one.get("value", "0")) for one in cell.iterfind("distances/sibling")}
    return model.NumaNode(
        id=_id(cell),
        memory_mib=_kib(memory.text, memory.get("unit", "KiB")) // 1024
        if memory is not None
        else 0,
        distances=tuple(rows[other] for other in order) if set(rows) == set(order) else (),
        hugepages=tuple(
            model.HugePages(size_kib=size, total=pages[size]) for size in sorted(pages)[1:]
        ),
    )


def _nics(root: ET.Element) -> tuple[model.Nic, ...]:
    nets: dict[str, list[ET.Element]] = {}
    for device in root.iterfind("device"):
        net = device.find("capability[@type='net']")
        if net is not None:
            nets.setdefault(device.findtext("parent", ""), []).append(net)
    found: list[model.Nic] = []
    for device in root.iterfind("device"):
        pci = device.find("capability[@type='pci']")
        is_function = pci is not None and pci.find("capability[@type='phys_function']") is not None
        if pci is None or is_function or not pci.findtext("class", "").startswith("0x02"):
            continue
        address = "{:04x}:{:02x}:{:02x}.{:x}".format(
            *(int(pci.findtext(part, "0"), 0) for part in ("domain", "bus", "slot", "function"))
        )
        mine = nets.get(device.findtext("name", ""), [ET.Element("capability")])
        found += [_nic(device, pci, address, net) for net in mine]
    return tuple(sorted(found, key=lambda nic: (nic.pci_address, nic.name)))


def _nic(device: ET.Element, pci: ET.Element, address: str, net: ET.Element) -> model.Nic:
    """Make a port.

    Args:
        device: what libvirt says of it.
        pci: the part of that which is PCI's.
        address: on the PCI bus; its name too, where it has none.
        net: what libvirt says of its interface; empty where it has none.
    """
    node, group = pci.find("numa"), pci.find("iommuGroup")
    functions = pci.find("capability[@type='virt_functions']")
    vendor, product, link = pci.find("vendor"), pci.find("product"), net.find("link")
    speed = link.get("speed", "") if link is not None else ""
    return model.Nic(
        name=net.findtext("interface", "") or address,
        pci_address=address,
        node=int(node.get("node", "0")) if node is not None else None,
        driver=device.findtext("driver/name", ""),
        vendor_id=vendor.get("id", "").removeprefix("0x") if vendor is not None else "",
        product_id=product.get("id", "").removeprefix("0x") if product is not None else "",
        mac=net.findtext("address", ""),
        # In Mbit/s; where the link is down the kernel says 0 or -1, or libvirt nothing.
        speed_mbps=int(speed) if speed.isdecimal() and int(speed) else None,
        max_vfs=int(functions.get("maxCount", "0")) if functions is not None else 0,
        iommu_group=int(group.get("number", "0")) if group is not None else None,
    )
