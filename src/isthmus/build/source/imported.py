"""What an import gives: machines by site and rack, and the part of a fleet file that lists them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_NOT_NAME = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One machine as a source tells it; empty is not told."""

    name: str
    mac: str = ""
    site: str = ""
    rack: str = ""
    bmc: str = ""
    bmc_kind: str = ""
    bmc_user: str = ""
    roles: tuple[str, ...] = ()
    serial: str = ""


def plain_name(text: str) -> str:
    """Make a name of a fleet file out of any: lower case, and - for what may not stand there.

    >>> plain_name("Rack 12/A.dc1")
    'rack-12-a-dc1'
    """
    return _NOT_NAME.sub("-", text.strip().lower()).strip("-")[:63].strip("-")


def plain_mac(text: str) -> str:
    """Write a MAC with colons, whatever separates its digits; other texts come back as they are.

    >>> plain_mac("5254.00AB.CDEF"), plain_mac("52-54-00-ab-cd-ef")
    ('52:54:00:ab:cd:ef', '52:54:00:ab:cd:ef')
    """
    digits = re.sub(r"[:.\-\s]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", digits):
        return text.strip()
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def to_sites(machines: Iterable[Imported]) -> tuple[list[dict[str, Any]], list[str]]:
    """Make the racks of a fleet file's sites.

    Returns:
        One mapping a site with its racks, and one sentence for each thing that is still missing.
    """
    sites: dict[str, dict[str, list[dict[str, Any]]]] = {}
    notes: list[str] = []
    for machine in machines:
        name = plain_name(machine.name)
        missing = [
            what for what, there in (("MAC", machine.mac), ("BMC", machine.bmc)) if not there
        ]
        if missing:
            notes.append(f"{name}: the source does not tell its {' and '.join(missing)}")
        racks = sites.setdefault(plain_name(machine.site) or "site1", {})
        racks.setdefault(plain_name(machine.rack) or "rack1", []).append(_node(name, machine))
    found = [
        {
            "name": site,
            "racks": [{"name": rack, "nodes": nodes} for rack, nodes in racks.items()],
        }
        for site, racks in sites.items()
    ]
    return found, notes


def _node(name: str, machine: Imported) -> dict[str, Any]:
    node: dict[str, Any] = {"name": name, "mac": plain_mac(machine.mac)}
    if machine.roles:
        node["roles"] = [plain_name(role) for role in machine.roles]
    bmc = {"address": machine.bmc, "kind": machine.bmc_kind, "user": machine.bmc_user}
    if machine.bmc:
        node["bmc"] = {key: value for key, value in bmc.items() if value}
    if machine.serial:
        node["serial"] = machine.serial
    return node
