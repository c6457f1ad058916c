"""`isthmus cell split` and `isthmus cell drain`: hosts leave a cell, with their servers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.compute import grow
from isthmus.cli.compute.health import NovaConf, PlacementConf, Timeout
from isthmus.cli.options import DEFAULT_CLOUD, Cloud, Output, confirm, confirm_name
from isthmus.cli.render import Format, note
from isthmus.model.form import counted

if TYPE_CHECKING:
    from isthmus.cells.adding.split import Split
    from isthmus.cells.moving.drain import HostLeft

HOSTS = ("host", "state", "servers")
SPLIT = ("step", "state", "what")


def drain_cell(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Its name or uuid.")],
    to: Annotated[str, typer.Option("--to", metavar="CELL", help="Where its hosts go.")],
    lab: grow.Lab = "",
    site: grow.Site = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which hosts would go, and do nothing.")
    ] = False,
    renumber: grow.Renumber = False,
    compute_hook: grow.Hook = None,
    wait: grow.WaitFor = grow.WAIT_S,
    yes: grow.Yes = False,
    nova_conf: NovaConf = None,
    placement_conf: PlacementConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Empty a cell: no new servers, then its hosts go to another one, each with its servers.

    The cell is disabled. Then host by host is fenced, its nova-compute stopped, its rows moved, and
    nova-compute started with the other cell's queue; servers run on. Interrupted anywhere, run it
    again: it goes on. isthmus cell move-host HOST --roll-back brings back the one on its way.
    """
    from isthmus.cells.moving.bring import bring_all
    from isthmus.cells.moving.drain import check_cells, collect_left

    deployment = grow.open_deployment(
        lab,
        site,
        nova_conf=nova_conf,
        placement_conf=placement_conf,
        hook=compute_hook,
        timeout=timeout,
        wait=wait,
    )
    source, target = deployment.cells.get(cell).cell, deployment.cells.get(to).cell
    check_cells(source.uuid, target.uuid, source.name)
    bringer = deployment.open_bringer(renumbers=renumber)
    left = collect_left(bringer, source.uuid, target.uuid)
    if dry_run:
        render.print_rows([_to_row(one) for one in left], HOSTS, output, empty="No hosts are left.")
        return
    if not yes:
        servers = sum(one.servers for one in left)
        confirm(
            f"Disable cell {source.name}, and move {counted(len(left), 'host')} with "
            f"{counted(servers, 'server')} to {target.name}?"
        )
    deployment.cells.set_enabled(source.uuid, enabled=False)
    moved = bring_all(bringer, [one.host for one in left], target.uuid, _tell, _Done(len(left)))
    rows = [{"host": one.host, "cell": target.name, "servers": one.servers} for one in left]
    render.print_rows(rows, ("host", "cell", "servers"), output)
    note(
        f"Cell {source.name} is empty of hosts ({len(moved)} went); isthmus cell remove "
        f"{source.name} takes it out."
    )
    if target.disabled:
        note(f"Cell {target.name} is disabled: no new servers go there.")
    grow.say_unread(deployment, added=False)


def split_cell(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The one that is split.")],
    to: Annotated[str, typer.Option("--to", metavar="NEW", help="Name of the new cell.")],
    hosts: Annotated[
        str, typer.Option("--hosts", metavar="HOST,HOST", help="Those that go to the new one.")
    ] = "",
    lab: grow.Lab = "",
    site: grow.Site = "",
    servers: grow.Servers = None,
    dry_run: grow.DryRun = False,
    roll_back: grow.RollBack = False,
    renumber: grow.Renumber = False,
    compute_hook: grow.Hook = None,
    canary_image: grow.CanaryImage = "",
    canary_flavor: grow.CanaryFlavor = "",
    canary_network: grow.CanaryNetwork = "",
    cloud: Cloud = DEFAULT_CLOUD,
    wait: grow.WaitFor = grow.WAIT_S,
    yes: grow.Yes = False,
    confirm_name_: grow.Confirm = None,
    nova_conf: NovaConf = None,
    placement_conf: PlacementConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Split a cell: add a new one, and move some of its hosts there with their servers.

    What the new cell's file says is the journal: interrupted anywhere, run it again, without
    --hosts if you like, and it goes on; with --roll-back the hosts go back and the new cell goes.
    Servers run on; the scheduler uses the new cell when all of it is done.
    """
    from isthmus.cells.adding.procedure import Wanted
    from isthmus.cells.adding.split import Split

    deployment = grow.open_deployment(
        lab,
        site,
        nova_conf=nova_conf,
        placement_conf=placement_conf,
        servers=servers,
        hook=compute_hook,
        timeout=timeout,
        wait=wait,
    )
    source = deployment.cells.get(cell).cell
    canary = grow.open_canary(cloud, canary_image, canary_flavor, canary_network, wait)
    named = tuple(one.strip() for one in hosts.split(",") if one.strip())
    wanted = Wanted(name=to, source=source.uuid, hosts=named)

    def open_split(wanted: Wanted) -> "Split":
        return Split(
            adding=deployment.open_adding(wanted, canary),
            open_bringer=lambda: deployment.open_bringer(renumbers=renumber),
        )

    split = open_split(wanted)
    wanted = split.take_up(source.name, begins=not roll_back)
    split = open_split(wanted)
    if roll_back:
        what = f"Cell {to} goes, and {counted(len(wanted.hosts), 'host')} back to {source.name}."
        confirm_name(what, to, yes=yes, given=confirm_name_)
        back = split.roll_back(_tell, _Done(len(wanted.hosts)))
        note(f"{counted(len(back), 'host')} went back to {source.name}; cell {to} is gone.")
        return
    if dry_run:
        _print_plan(split, wanted.hosts, output)
        return
    if not yes:
        confirm(f"Add cell {to}, and move {', '.join(wanted.hosts)} there from {source.name}?")
    record = split.begin(grow.tell_step(to))
    split.move(record, _tell, _Done(len(record.hosts)))
    grow.print_steps(split.end(grow.tell_step(to)), output)
    grow.say_unread(deployment, added=True)


def _print_plan(split: "Split", hosts: tuple[str, ...], output: Format) -> None:
    """Print the steps, with one for each host before the cell is enabled."""
    from isthmus.model.compute.adding import AddStep

    rows: list[dict[str, Any]] = []
    adding = split.adding
    for one in adding.list_steps(adding.look()):
        if one.step is AddStep.ENABLE:
            rows += [
                {"step": "move", "state": each.state, "what": _say_host(each)}
                for each in split.collect_hosts(hosts)
            ]
        rows.append({"step": one.step.value, "state": one.state.value, "what": one.what})
    render.print_rows(rows, SPLIT, output)


def _say_host(one: "HostLeft") -> str:
    return f"move {one.host} with {counted(one.servers, 'server')}"


def _to_row(one: "HostLeft") -> dict[str, Any]:
    return {"host": one.host, "state": one.state, "servers": one.servers}


def _tell(host: str, what: str) -> None:
    note(f"{host}: {what}.")


class _Done:
    """Counts the hosts that have arrived."""

    def __init__(self, of: int) -> None:
        self._of = of
        self._count = 0

    def __call__(self, host: str) -> None:
        self._count += 1
        note(f"{host}: it has arrived ({self._count} of {self._of}).")
