"""`isthmus cell add`, and what it has in common with `split` and `drain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.compute.check import check_timeout
from isthmus.cli.compute.health import NovaConf, Timeout
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, confirm_name
from isthmus.cli.render import Format, note
from isthmus.config.cell_file import SERVERS_FILE
from isthmus.config.nova import NOVA_FILE, PLACEMENT_FILE
from isthmus.model.compute.adding import AddedStep, AddStep

if TYPE_CHECKING:
    from isthmus.cells.adding.protocols import Canary
    from isthmus.wiring.compute.growing import Deployment

STEPS = ("step", "state", "what")

Lab = Annotated[
    str, typer.Option("--lab", metavar="NAME", help="Of this lab, which runs its services itself.")
]
Site = Annotated[str, typer.Option("--site", help="Of this site of the lab, if it has several.")]
Servers = Annotated[
    Path | None,
    typer.Option("--servers", help=f"Where new cells are made, else {SERVERS_FILE}."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the steps, and do nothing.")]
RollBack = Annotated[bool, typer.Option("--roll-back", help="Take back what was done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Confirm = Annotated[
    str | None, typer.Option("--confirm", metavar="CELL", help="Its name once more.")
]
CanaryImage = Annotated[
    str, typer.Option("--canary-image", help="Build a server of this image to prove the cell.")
]
CanaryFlavor = Annotated[str, typer.Option("--canary-flavor", help="Of this flavor.")]
CanaryNetwork = Annotated[
    str, typer.Option("--canary-network", metavar="ID", help="With this network; else without.")
]
WaitFor = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="For a service to start or stop."),
]
Hook = Annotated[
    Path | None,
    typer.Option("--compute-hook", help="Called as FILE stop|start HOST CELL; else you are asked."),
]
Renumber = Annotated[
    bool, typer.Option("--renumber", help="Take new ids for servers where theirs are in use.")
]
#: As long as a person or a role may take.
WAIT_S = 600.0


def open_deployment(
    lab: str,
    site: str,
    *,
    nova_conf: list[Path] | None,
    placement_conf: list[Path] | None = None,
    servers: Path | None = None,
    hook: Path | None = None,
    timeout: float,
    wait: float,
) -> "Deployment":
    """Open the Nova that is meant: of a lab, or that of this controller.

    Args:
        lab: name of the lab; empty for this controller's.
        site: of the lab.
        nova_conf: Nova's files.
        placement_conf: Placement's files.
        servers: the file of the servers of new cells.
        hook: stops and starts nova-compute.
        timeout: for each database, in seconds.
        wait: for services, in seconds.

    Raises:
        Invalid: a lab and files are given at once.
    """
    from isthmus.wiring.compute import deployed

    check_timeout(timeout)
    if lab:
        if nova_conf or placement_conf or servers or hook:
            raise errors.Invalid("--lab says where all is: leave out the options that name files")
        from isthmus.cli.lab_options import open_lab

        return deployed.open_site(open_lab(lab), site, timeout_s=timeout, wait_s=wait)
    if site:
        raise errors.Invalid("--site is of a lab: give --lab too")
    return deployed.open_machines(
        nova_conf or [NOVA_FILE],
        placement_conf or [PLACEMENT_FILE],
        servers=servers,
        hook=hook,
        tell=note,
        timeout_s=timeout,
        wait_s=wait,
    )


def open_canary(cloud: str, image: str, flavor: str, network: str, wait: float) -> "Canary | None":
    """Return what proves a cell, if it is asked for.

    Args:
        cloud: entry of clouds.yaml.
        image: name or id.
        flavor: the same.
        network: id; empty for none.
        wait: in seconds.

    Raises:
        Invalid: it is not said whole.
    """
    if not (image or flavor or network):
        return None
    if not (image and flavor):
        raise errors.Invalid("a canary needs --canary-image and --canary-flavor")
    from isthmus.clients.compute.canary import CanaryServer
    from isthmus.wiring.compute.deployed import open_canary as open_client

    server = CanaryServer(flavor=flavor, image=image, network=network)
    return open_client(cloud, server, wait)


def add_cell(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Its name: a-z, 0-9, - and _.")],
    lab: Lab = "",
    site: Site = "",
    servers: Servers = None,
    dry_run: DryRun = False,
    roll_back: RollBack = False,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="Have the scheduler leave it out.")
    ] = False,
    canary_image: CanaryImage = "",
    canary_flavor: CanaryFlavor = "",
    canary_network: CanaryNetwork = "",
    cloud: Cloud = DEFAULT_CLOUD,
    wait: WaitFor = WAIT_S,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask only for the name.")] = False,
    confirm: Confirm = None,
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Add a cell: database, vhost and users, tables, mapping, conductor, hosts, and a canary.

    The file with the new cell's passwords is written first, and is what nova-conductor reads.
    Interrupted anywhere, run it again: it goes on with what is left. With --roll-back it takes
    back all of it, as long as the cell has no hosts and no servers. --dry-run shows how each step
    stands.
    """
    from isthmus.cells.adding.procedure import Wanted

    deployment = open_deployment(
        lab, site, nova_conf=nova_conf, servers=servers, timeout=timeout, wait=wait
    )
    canary = open_canary(cloud, canary_image, canary_flavor, canary_network, wait)
    adding = deployment.open_adding(Wanted(name=cell, enables=not disabled), canary)
    if roll_back:
        name = f"Cell {cell} goes, with its database and its queue."
        confirm_name(name, cell, yes=yes, given=confirm)
        adding.roll_back()
        note(f"Cell {cell} is gone: its database, its vhost and its users too.")
        return
    if dry_run:
        print_steps(adding.list_steps(adding.look()), output)
        return
    print_steps(adding.run(tell_step(cell)), output)
    say_unread(deployment, added=True)


def print_steps(steps: tuple[AddedStep, ...], output: Format) -> None:
    """Print how the steps stand."""
    render.print_rows([_to_row(one) for one in steps], STEPS, output)


def _to_row(one: AddedStep) -> dict[str, Any]:
    return {"step": one.step.value, "state": one.state.value, "what": one.what}


def tell_step(cell: str) -> Any:
    """Return what tells of each step."""
    return lambda step: note(f"{cell}: {_BEGINS[step]}.")


_BEGINS = {
    AddStep.FILE: "its file is written",
    AddStep.QUEUE: "its vhost and user are made",
    AddStep.DATABASE: "its database and user are made",
    AddStep.SCHEMA: "its tables are migrated",
    AddStep.MAPPING: "it is mapped, disabled",
    AddStep.CONDUCTOR: "its nova-conductor is started, and waited for",
    AddStep.HOSTS: "its hosts are mapped",
    AddStep.ENABLE: "it is enabled",
    AddStep.CANARY: "a canary is built there",
}


def say_unread(deployment: "Deployment", *, added: bool) -> None:
    """Say what is to be restarted where Nova does not read its cells again."""
    if not deployment.cells.sees_cells():
        more = ", nova-api and the super conductor" if added else ""
        note(f"Restart each nova-scheduler{more}: they know the cells of when they started.")
