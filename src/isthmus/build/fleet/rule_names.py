"""Rules of names: nothing is declared twice, and every name stands for something."""

from collections.abc import Iterable, Iterator

from isthmus.build.fleet.document import Path
from isthmus.build.fleet.form import suggest
from isthmus.build.fleet.resolve import bmc_of
from isthmus.build.fleet.rules import Case, Finding, refer
from isthmus.model.rack.fleet import BmcKind, Defaults
from isthmus.model.service import SERVICES

_NO_MACS = frozenset({"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"})


def check_lists(case: Case) -> Iterator[Finding]:
    """Find lists that must hold something and do not."""
    fleet = case.fleet
    if not case.is_whole:
        return
    for name in ("images", "disks", "roles", "sites"):
        if not getattr(fleet, name):
            yield (name,), f"{name} is empty: a fleet needs at least one"
    for s, site in enumerate(fleet.sites):
        for name in ("networks", "racks"):
            if not getattr(site, name):
                yield ("sites", s, name), f"{name} is empty: a site needs at least one"
        for r, rack in enumerate(site.racks):
            if not rack.nodes:
                yield ("sites", s, "racks", r, "nodes"), "nodes is empty: a rack needs at least one"


def check_twice(case: Case) -> Iterator[Finding]:
    """Find names that are declared twice."""
    fleet = case.fleet
    for name in ("images", "disks", "roles", "sites"):
        rows = getattr(fleet, name)
        yield from _twice(case, name, (((name, i, "name"), one.name) for i, one in enumerate(rows)))
    for s, site in enumerate(fleet.sites):
        for name in ("networks", "racks"):
            rows = enumerate(getattr(site, name))
            named = [(("sites", s, name, i, "name"), one.name) for i, one in rows]
            yield from _twice(case, f"{name} of {site.name}", named)
    nodes = list(case.nodes())
    yield from _twice(case, "nodes", (((*path, "name"), node.name) for path, *_, node in nodes))


def check_machines(case: Case) -> Iterator[Finding]:
    """Find machines that could not be told from each other, or not be reached."""
    nodes = list(case.nodes())
    macs = (((*path, "mac"), node.mac.lower()) for path, *_, node in nodes)
    yield from _twice(case, "MAC addresses", macs)
    serials = (((*path, "serial"), node.serial) for path, *_, node in nodes if node.serial)
    yield from _twice(case, "serial numbers", serials)
    places: list[tuple[Path, str]] = []
    for path, _, rack, node in nodes:
        if int(node.mac[:2], 16) & 1 or node.mac.lower() in _NO_MACS:
            yield (*path, "mac"), f"{node.mac} is a group address, or none: no machine has it"
        bmc = bmc_of(case.fleet, rack, node)
        if bmc is None:
            yield (
                path,
                f"{node.name} has no power control: give bmc, or bmc: {{kind: manual}} where a "
                "person switches it",
            )
        elif bmc.kind is not BmcKind.MANUAL:
            if not bmc.address:
                yield (*path, "bmc"), f"the bmc of {node.name} has no address"
            elif node.bmc is not None and node.bmc.address:
                places.append(((*path, "bmc", "address"), f"{bmc.address} {bmc.system}".strip()))
    yield from _twice(case, "addresses of management controllers", places)


def check_references(case: Case) -> Iterator[Finding]:
    """Find names that stand for nothing."""
    known = {one: case.names(one) for one in ("images", "disks", "roles")}
    yield from _check_defaults(("defaults",), case.fleet.defaults, known)
    yield from refer(("central",), "site", case.fleet.central, case.names("sites"))
    for s, site in enumerate(case.fleet.sites):
        for r, rack in enumerate(site.racks):
            yield from _check_defaults(("sites", s, "racks", r, "defaults"), rack.defaults, known)
        if site.ha is not None:
            yield from refer(("sites", s, "ha", "role"), "role", site.ha.role, known["roles"])
        for d, demand in enumerate(site.nfv):
            yield from refer(("sites", s, "nfv", d, "role"), "role", demand.role, known["roles"])
    for path, _, _, node in case.nodes():
        for i, role in enumerate(node.roles):
            yield from refer((*path, "roles", i), "role", role, known["roles"])
        yield from refer((*path, "disks"), "disk layout", node.disks, known["disks"])
        yield from refer((*path, "image"), "image", node.image, known["images"])


def check_services(case: Case) -> Iterator[Finding]:
    """Find services that Isthmus does not know, and roles that are none."""
    roles = case.names("roles")
    for service, placed in case.fleet.services.items():
        if service not in SERVICES:
            yield (
                ("services", service),
                f"there is no service {service}{suggest(service, SERVICES)}",
            )
        for i, role in enumerate(placed):
            yield from refer(("services", service, i), "role", role, roles)
        if not placed:
            yield ("services", service), f"{service} is placed on no role"


def _check_defaults(
    path: Path, defaults: Defaults, known: dict[str, frozenset[str]]
) -> Iterator[Finding]:
    for i, role in enumerate(defaults.roles or ()):
        yield from refer((*path, "roles", i), "role", role, known["roles"])
    yield from refer((*path, "disks"), "disk layout", defaults.disks, known["disks"])
    yield from refer((*path, "image"), "image", defaults.image, known["images"])


def _twice(case: Case, what: str, pairs: Iterable[tuple[Path, str]]) -> Iterator[Finding]:
    """Report every duplicate with the line of the first."""
    first: dict[str, Path] = {}
    for path, value in pairs:
        if value in first:
            line = case.line(first[value])
            yield path, f"{value} is given twice among the {what}: first in line {line}"
        first.setdefault(value, path)
