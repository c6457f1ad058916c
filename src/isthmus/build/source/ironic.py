"""Machines that Ironic inspected: `baremetal node list --long -f json` and inventories.

An inventory (`baremetal node inventory save`) tells ports, BMC and serial number; a node tells its
name and driver. A file may hold one or a list of either; a name joins the two.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus import errors
from isthmus.build.source.imported import Imported


def parse_inspected(documents: list[Any]) -> list[Imported]:
    """Make machines out of Ironic's JSON.

    Raises:
        Invalid: nothing in it is a node or an inventory.
    """
    rows = list(_rows(documents))
    inventories = [row for row in rows if _inventory(row) is not None]
    nodes = {_name(row): row for row in rows if _inventory(row) is None and _is_node(row)}
    if not inventories and not nodes:
        raise errors.Invalid("this is neither a list of Ironic's nodes nor an inventory of one")
    found: list[Imported] = []
    for row in inventories:
        name = _name(row)
        found.append(_machine(name, _inventory(row) or {}, nodes.pop(name, {})))
    found += [_machine(name, {}, row) for name, row in nodes.items()]
    return found


def _rows(documents: list[Any]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        many = document.get("nodes") if isinstance(document, dict) else document
        for row in many if isinstance(many, list) else [document]:
            if isinstance(row, dict):
                yield row


def _inventory(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = row.get("inventory", row)
    return found if isinstance(found, dict) and isinstance(found.get("interfaces"), list) else None


def _is_node(row: Mapping[str, Any]) -> bool:
    return any(key.lower() in {"uuid", "driver", "driver_info"} for key in row)


def _pick(row: Mapping[str, Any], *names: str) -> Any:
    """Find a field by its API's name or by the client's heading: driver_info, Driver Info."""
    for name in names:
        for key in (name, name.replace("_", " ").title(), name.upper()):
            if row.get(key):
                return row[key]
    return None


def _name(row: Mapping[str, Any]) -> str:
    inventory = _inventory(row) or {}
    found = _pick(row, "name") or inventory.get("hostname") or _pick(row, "uuid")
    return str(found or "unnamed")


def _machine(name: str, inventory: Mapping[str, Any], node: Mapping[str, Any]) -> Imported:
    info = _pick(node, "driver_info") or {}
    info = info if isinstance(info, dict) else {}
    driver = str(_pick(node, "driver") or "")
    redfish = str(info.get("redfish_address") or "")
    vendor = inventory.get("system_vendor") or {}
    return Imported(
        name=name,
        mac=_boot_mac(inventory),
        bmc=str(redfish or info.get("ipmi_address") or inventory.get("bmc_address") or ""),
        bmc_kind="redfish" if redfish or driver == "redfish" else "ipmi" if driver else "",
        bmc_user=str(info.get("redfish_username") or info.get("ipmi_username") or ""),
        serial=str(vendor.get("serial_number") or ""),
    )


def _boot_mac(inventory: Mapping[str, Any]) -> str:
    """Return the port that booted; else the first with a carrier."""
    boot = inventory.get("boot") or {}
    if boot.get("pxe_interface"):
        # PXELINUX writes 01- (Ethernet) in front.
        text = str(boot["pxe_interface"]).lower()
        text = text[3:] if len(text) == 20 and text.startswith("01-") else text
        return text.replace("-", ":")
    ports = [one for one in inventory.get("interfaces", []) if isinstance(one, dict)]
    ports.sort(key=lambda one: not one.get("has_carrier"))
    return next((str(one["mac_address"]) for one in ports if one.get("mac_address")), "")
