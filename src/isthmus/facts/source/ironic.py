"""Ironic introspection data to an inventory.

Two parts of the document count: `inventory` (CPU, memory, interfaces) and, where the ramdisk ran
the `numa-topology` collector, `numa_topology`. Without the latter NUMA is not known and the host is
refused: guessing one node is how plans by hand go wrong. `pci_devices` fills in what it can; how
many virtual functions a device may have nobody collects, so plans say that they did not check.

Source:
    ironic-python-agent, `numa_inspector.collect_numa_topology_info` and "How it works: inspection".
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from isthmus import errors
from isthmus.facts import validity
from isthmus.model.host import host_inventory as model

_VENDORS = {"x86_64": "", "aarch64": "ARM"}


def is_introspection(document: Any) -> bool:
    """Tell whether a JSON document looks like introspection data."""
    return isinstance(document, Mapping) and (
        "numa_topology" in document or "cpu" in (document.get("inventory") or {})
    )


def parse_introspection(document: Mapping[str, Any], *, name: str = "") -> model.HostInventory:
    """Make an inventory of introspection data.

    Args:
        document: the whole document, as `baremetal node inventory save` or the older
            `baremetal introspection data save` give it (its `plugin_data` is looked into too).
        name: what to call the host where the document does not say.

    Raises:
        Invalid: no NUMA data, or what is there cannot be.
        ProtocolError: a part does not have its promised form.
    """
    merged = {**document, **(document.get("plugin_data") or {})}
    topology = merged.get("numa_topology")
    if not topology:
        raise errors.Invalid(
            "the introspection data has no numa_topology: run inspection with the numa-topology "
            "collector (ipa-inspection-collectors=default,numa-topology,pci-devices)"
        )
    inventory = merged.get("inventory") or {}
    try:
        return validity.require_valid(_parse(merged, topology, inventory, name))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise errors.ProtocolError(
            f"the introspection data is not of the promised form near {exc}"
        ) from exc


def _parse(
    merged: Mapping[str, Any],
    topology: Mapping[str, Any],
    inventory: Mapping[str, Any],
    name: str,
) -> model.HostInventory:
    cpu = inventory.get("cpu") or {}
    flags = set(cpu.get("flags") or ())
    known = {"pdpe1gb": 1048576, "pse": 2048}
    return model.HostInventory(
        name=inventory.get("hostname") or name or "host",
        source="ironic",
        cpu_vendor=_vendor(cpu),
        cpu_model=str(cpu.get("model_name") or ""),
        cores=_cores(topology),
        nodes=tuple(
            model.NumaNode(id=int(one["numa_node"]), memory_mib=int(one["size_kb"]) // 1024)
            for one in sorted(topology["ram"], key=lambda one: int(one["numa_node"]))
        ),
        nics=_nics(merged, topology, inventory),
        page_sizes_kib=tuple(sorted(size for flag, size in known.items() if flag in flags)),
    )


def _cores(topology: Mapping[str, Any]) -> tuple[model.Core, ...]:
    """Read cores. `cpu` is a core id that repeats on each node, so siblings tell a core."""
    return tuple(
        sorted(
            (
                model.Core(
                    socket=int(one["numa_node"]),
                    id=int(one["cpu"]),
                    node=int(one["numa_node"]),
                    cpus=tuple(sorted(map(int, one["thread_siblings"]))),
                )
                for one in topology["cpus"]
            ),
            key=lambda core: core.cpus,
        )
    )


def _nics(
    merged: Mapping[str, Any], topology: Mapping[str, Any], inventory: Mapping[str, Any]
) -> tuple[model.Nic, ...]:
    nodes = {one["name"]: int(one["numa_node"]) for one in topology.get("nics") or ()}
    interfaces = {one["name"]: one for one in inventory.get("interfaces") or ()}
    by_bus: dict[str, Mapping[str, Any]] = defaultdict(dict)
    for device in merged.get("pci_devices") or ():
        by_bus[str(device.get("bus", "")).lower()] = device
    found = []
    for name in sorted(set(nodes) | set(interfaces)):
        one = interfaces.get(name, {})
        address = str(one.get("pci_address") or "").lower()
        device = by_bus.get(address, {})
        node = nodes.get(name, -1)
        found.append(
            model.Nic(
                name=name,
                pci_address=address,
                node=node if node >= 0 else None,
                driver=str(one.get("driver") or ""),
                vendor_id=_hex(one.get("vendor") or device.get("vendor_id")),
                product_id=_hex(one.get("product") or device.get("product_id")),
                mac=str(one.get("mac_address") or ""),
                speed_mbps=int(one["speed_mbps"]) if one.get("speed_mbps") else None,
            )
        )
    return tuple(found)


def _hex(value: Any) -> str:
    return str(value or "").removeprefix("0x").lower()


def _vendor(cpu: Mapping[str, Any]) -> str:
    text = str(cpu.get("model_name") or "")
    if "Intel" in text:
        return "GenuineIntel"
    return "AuthenticAMD" if "AMD" in text else _VENDORS.get(str(cpu.get("architecture")), "")
