"""Machines out of NetBox: devices and interfaces as its API gives them, in one file or several."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus import errors
from isthmus.build.source.imported import Imported


def parse_devices(documents: list[Any]) -> list[Imported]:
    """Make machines out of `/api/dcim/devices/` and `/api/dcim/interfaces/`.

    Raises:
        Invalid: nothing in it is a device.
    """
    rows = list(_rows(documents))
    devices = [row for row in rows if "device_type" in row]
    if not devices:
        raise errors.Invalid(
            "this lists no devices: give the answer of /api/dcim/devices/, and for MAC addresses "
            "that of /api/dcim/interfaces/"
        )
    macs = _macs(row for row in rows if "device" in row and "device_type" not in row)
    return [
        Imported(
            name=str(row.get("name") or row.get("display") or row.get("id")),
            mac=macs.get(str(row.get("name")), ""),
            site=_word(row, "site"),
            rack=_word(row, "rack"),
            bmc=_word(row, "oob_ip").partition("/")[0],
            # device_role was its name before NetBox 3.6.
            roles=tuple(filter(None, [_word(row, "role") or _word(row, "device_role")])),
            serial=str(row.get("serial") or ""),
        )
        for row in devices
    ]


def _rows(documents: list[Any]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        many = document.get("results") if isinstance(document, dict) else document
        for row in many if isinstance(many, list) else []:
            if isinstance(row, dict):
                yield row


def _word(row: Mapping[str, Any], key: str) -> str:
    """Return what names a related object: its slug, name or address."""
    found = row.get(key)
    if isinstance(found, dict):
        return str(found.get("slug") or found.get("name") or found.get("address") or "")
    return str(found or "")


def _macs(interfaces: Iterator[Mapping[str, Any]]) -> dict[str, str]:
    """Return each device's first port that has a MAC and is not for management alone."""
    found: dict[str, str] = {}
    for row in interfaces:
        mac = row.get("mac_address") or _word(row, "primary_mac_address")
        if isinstance(row.get("primary_mac_address"), dict):
            mac = mac or str(row["primary_mac_address"].get("mac_address") or "")
        if mac and not row.get("mgmt_only"):
            found.setdefault(_word(row, "device"), str(mac))
    return found
