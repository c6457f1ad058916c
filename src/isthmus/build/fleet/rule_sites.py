"""Rules of sites: enough machines for what they are to carry, and a majority that can be lost."""

from collections import Counter
from collections.abc import Iterator

from isthmus.build.fleet import resolve
from isthmus.build.fleet.document import Path
from isthmus.build.fleet.rules import Case, Finding
from isthmus.model.rack.fleet import Compression, Fleet, Image, Install, Node, Rack, Raid
from isthmus.model.service import CENTRAL_SERVICES, QUORUM_SERVICES, SITE_SERVICES


def check_counts(case: Case) -> Iterator[Finding]:
    """Find sites that have too few machines of a role, or services that no machine carries."""
    if not case.can_count:
        return
    for s, site in enumerate(case.fleet.sites):
        counts: Counter[str] = Counter()
        for _, rack, node in case.nodes_of(s):
            counts.update(resolve.roles_of(case.fleet, rack, node))
        for role in case.fleet.roles:
            if counts[role.name] < role.least:
                yield (
                    ("sites", s, "name"),
                    f"{site.name} has {counts[role.name]} machines of role {role.name}, and needs "
                    f"{role.least}",
                )
        for service, roles in case.fleet.services.items():
            if not _is_needed(case.fleet, site.name, service):
                continue
            if roles and not any(counts[role] for role in roles):
                yield (
                    ("services", service),
                    f"no machine of {site.name} carries {service}, whose roles are "
                    f"{', '.join(roles)}",
                )


def _is_needed(fleet: Fleet, site: str, service: str) -> bool:
    """Tell whether a site has to carry a service: central has no data plane, sites no Keystone."""
    if fleet.central not in {one.name for one in fleet.sites}:
        return fleet.central is None
    return service not in (SITE_SERVICES if site == fleet.central else CENTRAL_SERVICES)


def check_majorities(case: Case) -> Iterator[Finding]:
    """Find controllers that are even in number, too few, or all in one rack."""
    for s, site in enumerate(case.fleet.sites):
        if site.ha is None:
            continue
        path: Path = ("sites", s, "ha", "controllers")
        if site.ha.controllers % 2 == 0:
            yield (
                path,
                f"{site.name} has {site.ha.controllers} controllers: take an odd number, since an "
                "even one survives the loss of no more machines",
            )
            continue
        if not case.can_count:
            continue
        racks = [
            rack.name
            for _, rack, node in case.nodes_of(s)
            if site.ha.role in resolve.roles_of(case.fleet, rack, node)
        ]
        if len(racks) != site.ha.controllers:
            yield (
                path,
                f"{site.name} has {len(racks)} machines of role {site.ha.role}, and ha.controllers "
                f"is {site.ha.controllers}",
            )
        elif len(racks) > 1 and len(set(racks)) == 1 and len(site.racks) >= 3:
            yield (
                path,
                f"all controllers of {site.name} are in rack {racks[0]}: spread them over its "
                f"{len(site.racks)} racks",
            )


def check_quorum_services(case: Case) -> Iterator[Finding]:
    """Find services with a majority that are placed on an even number of machines."""
    if not case.can_count:
        return
    for s, site in enumerate(case.fleet.sites):
        for service in QUORUM_SERVICES:
            roles = set(case.fleet.services.get(service, ()))
            count = sum(
                1
                for _, rack, node in case.nodes_of(s)
                if roles & set(resolve.roles_of(case.fleet, rack, node))
            )
            if count and count % 2 == 0:
                yield (
                    ("services", service),
                    f"{service} would run on {count} machines of {site.name}: it keeps a majority, "
                    "so take an odd number",
                )


def check_machines(case: Case) -> Iterator[Finding]:
    """Find machines without roles, disks or an image, and images that their installs cannot use."""
    images = {one.name: one for one in case.fleet.images}
    told: set[tuple[str, Install]] = set()
    for path, _, rack, node in case.nodes():
        yield from _check_node(case, path, rack, node)
        name = resolve.image_of(case.fleet, rack, node)
        install = resolve.install_of(case.fleet, rack, node)
        if name in images and (name, install) not in told:
            told.add((name, install))
            index = case.fleet.images.index(images[name])
            yield from _check_image(("images", index), images[name], install)


def _check_node(case: Case, path: Path, rack: Rack, node: Node) -> Iterator[Finding]:
    if not resolve.roles_of(case.fleet, rack, node):
        yield path, f"{node.name} has no role: give roles, here or in defaults"
    if resolve.image_of(case.fleet, rack, node) is None:
        yield path, f"{node.name} has no image: give image, here or in defaults"
    layout = resolve.disks_of(case.fleet, rack, node)
    if layout is None:
        yield path, f"{node.name} has no disk layout: give disks, here or in defaults"
    for one in case.fleet.disks:
        if one.name != layout or one.raid is Raid.NONE:
            continue
        if resolve.install_of(case.fleet, rack, node) is Install.IMAGE:
            yield (
                path,
                f"{node.name} is installed by image, and the layout {one.name} has RAID: only "
                "installers make software RAID",
            )


def _check_image(path: Path, image: Image, install: Install) -> Iterator[Finding]:
    wanted = {
        Install.IMAGE: ("file", "sha256", "size_mib"),
        Install.KICKSTART: ("kernel", "initrd", "tree"),
        Install.PRESEED: ("kernel", "initrd", "tree", "release"),
        Install.AUTOINSTALL: ("kernel", "initrd", "tree"),
    }[install]
    missing = [name for name in wanted if not getattr(image, name)]
    if missing:
        yield (
            path,
            f"the image {image.name} is used with install: {install}, which needs "
            f"{', '.join(missing)}",
        )
    if image.compression is not Compression.NONE and install is not Install.IMAGE:
        yield (*path, "compression"), "an installer's packages have no compression of ours"


def check_layouts(case: Case) -> Iterator[Finding]:
    """Find mirrors without a second disk."""
    for d, layout in enumerate(case.fleet.disks):
        path: Path = ("disks", d)
        if layout.raid is Raid.MIRROR and layout.mirror is None:
            yield (*path, "raid"), f"the mirror {layout.name} needs a second disk: give mirror"
        if layout.mirror is not None and layout.mirror == layout.device:
            yield (*path, "mirror"), f"{layout.mirror} mirrors itself"
        if layout.mirror is not None and layout.raid is Raid.NONE:
            yield (*path, "mirror"), f"{layout.name} has a mirror disk and raid: none"
