"""A Nova that is deployed on machines, or that of a lab, as cells are added to it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus import errors
from isthmus.clients.compute.canary import CanaryClient, CanaryServer
from isthmus.clients.compute.hook import HandComputes, HandConductors, HookComputes
from isthmus.clients.http.cloud import PersonalCloud
from isthmus.config.cell_file import SERVERS_FILE, read_cell_servers
from isthmus.lab.compute.growth import SiteCells, SiteConductors
from isthmus.lab.opened import OpenLab
from isthmus.wiring.compute.growing import Deployment


def open_machines(
    nova: Sequence[Path],
    placement: Sequence[Path],
    *,
    servers: Path | None,
    hook: Path | None,
    tell: Callable[[str], None],
    timeout_s: float,
    wait_s: float,
) -> Deployment:
    """Return a Nova on machines: its services are started and stopped by a program or a person.

    Args:
        nova: Nova's files.
        placement: Placement's files.
        servers: the file of the servers that are to hold new cells.
        hook: stops and starts nova-compute; None: a person does.
        tell: tells the person.
        timeout_s: for each answer of a database.
        wait_s: for a service that is started or stopped.
    """
    return Deployment(
        nova_files=tuple(nova),
        placement_files=tuple(placement),
        find_cell_file=lambda name: nova[-1].with_name(f"cell-{name}.conf"),
        open_servers=lambda: read_cell_servers(servers or SERVERS_FILE),
        conductors=HandConductors(tell),
        computes=HookComputes(hook) if hook else HandComputes(tell),
        timeout_s=timeout_s,
        wait_s=wait_s,
    )


def open_site(lab: OpenLab, site: str, *, timeout_s: float, wait_s: float) -> Deployment:
    """Return the Nova of a site of a lab, which starts and stops its services itself.

    Args:
        lab: that is up.
        site: its name; empty where the lab has but one.
        timeout_s: for each answer of a database.
        wait_s: for a service that is started or stopped.

    Raises:
        NotFound: there is no such site.
        Invalid: several have a Nova.
    """
    plan = lab.plan
    if not site and len(plan.sites) > 1:
        raise errors.Invalid(f"lab {plan.name} has {len(plan.sites)} sites: say --site NAME")
    cells = SiteCells(plan, lab.tools, lab.ledger, plan.get_site(site) if site else plan.sites[0])
    return Deployment(
        nova_files=(cells.nova_file,),
        placement_files=(cells.placement_file,),
        find_cell_file=cells.find_cell_file,
        open_servers=cells.open_servers,
        conductors=SiteConductors(cells),
        computes=cells,
        timeout_s=timeout_s,
        wait_s=wait_s,
    )


def open_canary(cloud: str, server: CanaryServer, wait_s: float) -> CanaryClient:
    """Return what builds a canary, as an administrator of a cloud of clouds.yaml.

    Args:
        cloud: the entry; empty for what the environment says.
        server: what to build.
        wait_s: how long to wait for it.
    """
    person = PersonalCloud(cloud)
    compute, image = person.open_adapter("compute"), person.open_adapter("image")
    return CanaryClient(compute, image, server, wait_s)
