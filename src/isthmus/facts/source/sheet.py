"""Sheets of a data centre (CSV, as NetBox exports them) to inventories, one for each device.

Two tables, in one file with an empty line between them: devices, and their interfaces. Columns may
stand in any order, be called with NetBox's `cf_` for custom fields, and others are left alone.

    name,sockets,numa_nodes,cores_per_socket,threads_per_core,numbering,memory_gib,cpu_vendor
    device,name,pci_address,numa_node,mac_address,vendor_id,product_id,max_vfs,speed_mbps,mtu

How the kernel numbers CPUs no sheet knows by itself, and a plan with the wrong numbers splits every
core; so `numbering` must be said: `halves` (siblings are n and n + all cores), `pairs` (2n and
2n + 1) or `alternate` (halves, with cores going round the nodes).
"""

import csv
import io
from collections.abc import Mapping, Sequence

from isthmus import errors
from isthmus.facts import validity
from isthmus.model.host import host_inventory as model

_NEEDED = ("sockets", "cores_per_socket", "threads_per_core", "numbering", "memory_gib")
_NUMBERINGS = ("halves", "pairs", "alternate")
_VENDORS = {"intel": "GenuineIntel", "amd": "AuthenticAMD", "arm": "ARM", "ibm": "IBM"}


def is_sheet(text: str) -> bool:
    """Tell whether some text is a sheet of devices."""
    head = text.lstrip("\ufeff\n\r ").partition("\n")[0].lower()
    return head[:1] not in {"{", "["} and "," in head and "sockets" in head and "name" in head


def parse_sheet(text: str, *, name: str) -> tuple[model.HostInventory, ...]:
    """Make an inventory of each device of a sheet.

    Raises:
        Invalid: a column is missing, a number is none, or a device cannot be.
    """
    devices, interfaces = _tables(text)
    if not devices:
        raise errors.Invalid(f"{name} lists no device")
    found: list[model.HostInventory] = []
    for number, row in enumerate(devices, start=2):
        where = f"{name}, line {number}"
        device = row.get("name") or row.get("device") or ""
        if not device:
            raise errors.Invalid(f"{where}: the device has no name")
        mine = [one for one in interfaces if one.get("device") == device]
        if device in {one.name for one in found}:
            raise errors.Invalid(f"{where}: two devices are called {device}")
        found.append(_inventory(device, row, mine, where))
    strays = {one.get("device", "") for one in interfaces} - {one.name for one in found}
    if strays:
        raise errors.Invalid(f"{name} has interfaces of {', '.join(sorted(strays))}, no device")
    return tuple(found)


Row = Mapping[str, str]


def _tables(text: str) -> tuple[list[Row], list[Row]]:
    devices: list[Row] = []
    interfaces: list[Row] = []
    for part in text.lstrip("\ufeff").replace("\r\n", "\n").split("\n\n"):
        if part.strip():
            rows = [_plain(row) for row in csv.DictReader(io.StringIO(part.strip()))]
            is_port = bool(rows) and "sockets" not in rows[0]
            (interfaces if is_port else devices).extend(rows)
    return devices, interfaces


def _plain(row: Mapping[str | None, str | None]) -> Row:
    """Return a row with NetBox's names made plain."""
    return {
        (key or "").strip().lower().removeprefix("cf_").replace(" ", "_"): (value or "").strip()
        for key, value in row.items()
        if isinstance(value, str | None)
    }


def _number(row: Row, key: str, where: str, otherwise: int | None = None) -> int:
    text = row.get(key, "")
    if not text and otherwise is not None:
        return otherwise
    try:
        return int(text)
    except ValueError as exc:
        raise errors.Invalid(f"{where}: {key} is {text!r}, no number") from exc


def _inventory(device: str, row: Row, ports: Sequence[Row], where: str) -> model.HostInventory:
    if missing := [key for key in _NEEDED if not row.get(key)]:
        raise errors.Invalid(f"{where}: {device} has no {', '.join(missing)}")
    if row["numbering"] not in _NUMBERINGS:
        raise errors.Invalid(
            f"{where}: numbering is {row['numbering']!r}, none of {', '.join(_NUMBERINGS)}"
        )
    sockets = _number(row, "sockets", where)
    nodes = _number(row, "numa_nodes", where, otherwise=sockets)
    total = sockets * _number(row, "cores_per_socket", where)
    if sockets < 1 or nodes < 1 or total < nodes or nodes % sockets or total % nodes:
        raise errors.Invalid(
            f"{where}: {total} cores in {sockets} sockets do not split evenly over {nodes} NUMA "
            "nodes"
        )
    if total > validity.MOST_CPUS:
        raise errors.Invalid(f"{where}: nobody builds {total} cores")
    threads = _number(row, "threads_per_core", where)
    memory = _number(row, "memory_gib", where) * 1024 // nodes
    each = total // nodes
    return validity.require_valid(
        model.HostInventory(
            name=device,
            source="sheet",
            cpu_vendor=_vendor(row.get("cpu_vendor", "")),
            cores=tuple(
                sorted(
                    (
                        model.Core(
                            socket=node * sockets // nodes,
                            id=core,
                            node=node,
                            cpus=_cpus(row["numbering"], node, core, each, nodes, threads),
                        )
                        for node in range(nodes)
                        for core in range(each)
                    ),
                    key=lambda core: core.cpus,
                )
            ),
            nodes=tuple(model.NumaNode(id=node, memory_mib=memory) for node in range(nodes)),
            nics=tuple(_nic(one, where) for one in ports),
        )
    )


def _cpus(
    numbering: str, node: int, core: int, each: int, nodes: int, threads: int
) -> tuple[int, ...]:
    if numbering == "pairs":
        first = (node * each + core) * threads
        return tuple(range(first, first + threads))
    first = core * nodes + node if numbering == "alternate" else node * each + core
    return tuple(first + thread * nodes * each for thread in range(threads))


def _vendor(text: str) -> str:
    return next((name for key, name in _VENDORS.items() if key in text.lower()), text)


def _nic(row: Row, where: str) -> model.Nic:
    node = row.get("numa_node", "")
    address = row.get("pci_address", "").lower()
    address = f"0000:{address}" if address.count(":") == 1 else address
    name = row.get("name", "")
    return model.Nic(
        # What is written on a box ("Port 1/1") is no name that the kernel knows.
        name=name if validity.is_interface_name(name) else address or name,
        pci_address=address,
        node=_number(row, "numa_node", where) if node not in {"", "-1"} else None,
        vendor_id=row.get("vendor_id", "").removeprefix("0x").lower(),
        product_id=row.get("product_id", "").removeprefix("0x").lower(),
        mac=row.get("mac_address", "").lower(),
        speed_mbps=_number(row, "speed_mbps", where, otherwise=0) or None,
        mtu=_number(row, "mtu", where, otherwise=0) or None,
        max_vfs=_number(row, "max_vfs", where, otherwise=0),
    )
