"""`isthmus cell move-host`: a compute host goes to another cell with its running servers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.compute.check import check_timeout
from isthmus.cli.compute.health import NovaConf, PlacementConf, Timeout
from isthmus.cli.options import Output, confirm
from isthmus.cli.render import Format, note
from isthmus.config.nova import NOVA_FILE, PLACEMENT_FILE
from isthmus.model.compute.move import HostMove, Phase

if TYPE_CHECKING:
    from isthmus.cells.moving.movers import Movers

#: What is done next in each phase.
_NEXT = {
    Phase.FENCED: "it is fenced; its rows are copied",
    Phase.COPIED: "its rows are in both cells; the mappings are switched",
    Phase.SWITCHED: "the mappings lead to the new cell; its rows are removed from the old one",
    Phase.MOVED: "its rows are in the new cell alone",
}


def move_host(
    host: Annotated[str, typer.Argument(metavar="HOST", help="Name of its nova-compute service.")],
    to: Annotated[str, typer.Option("--to", metavar="CELL", help="Name or uuid.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show what would go, and stop.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a move.")] = False,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Undo a move, or go the way back.")
    ] = False,
    renumber: Annotated[
        bool, typer.Option("--renumber", help="Take new ids for servers where theirs are in use.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    nova_conf: NovaConf = None,
    placement_conf: PlacementConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Move a compute host to another cell with its servers, which run on.

    Stop its nova-compute first. Its rows are copied to the other cell, the mappings are switched,
    and the rows removed from the old cell. Then start nova-compute with the other cell's queue, and
    run it again with --resume, which opens the host for new servers. What was interrupted goes on
    with --resume, or back with --roll-back.
    """
    from isthmus.wiring.compute.moving import open_movers

    check_timeout(timeout)
    if sum((bool(to), resume, roll_back)) != 1:
        raise errors.Invalid("give one of --to CELL, --resume and --roll-back")
    movers = open_movers(nova_conf or [NOVA_FILE], placement_conf or [PLACEMENT_FILE], timeout)
    if resume:
        _resume(movers, host, renumber=renumber)
    elif roll_back:
        _roll_back(movers, host)
    else:
        move, rows = movers.plan(host, to, renumbers=renumber)
        if plan:
            render.print_row(_to_row(movers, move, rows), output)
            return
        if not yes:
            confirm(
                f"Move {host} with {rows.get('instances', 0)} servers from "
                f"{movers.name_of(move.source)} to {movers.name_of(move.target)}?"
            )
        _say_start(movers, movers.begin(move, _tell, renumbers=renumber))


def _to_row(movers: "Movers", move: HostMove, rows: dict[str, int]) -> dict[str, Any]:
    return {
        "host": move.host,
        "from": movers.name_of(move.source),
        "to": movers.name_of(move.target),
        "service": "disabled" if move.was_disabled else "enabled",
        "rows": rows,
    }


def _tell(move: HostMove) -> None:
    note(f"{move.host}: {_NEXT[move.phase]}.")


def _say_start(movers: "Movers", move: HostMove) -> None:
    note(
        f"Start nova-compute of {move.host} with the queue of cell {movers.name_of(move.target)}, "
        f"then run: isthmus cell move-host {move.host} --resume"
    )


def _resume(movers: "Movers", host: str, *, renumber: bool) -> None:
    before = movers.resume(host, _tell, renumbers=renumber)
    if movers.is_moving(host):
        _say_start(movers, before)
        return
    note(f"Host {host} is in cell {movers.name_of(before.target)}.")
    if not movers.sees_cells:
        note("Restart each nova-scheduler: it remembers in which cell a host was.")


def _roll_back(movers: "Movers", host: str) -> None:
    back = movers.roll_back(host, _tell)
    if back is None:
        note(f"Host {host} is as it was: start its nova-compute as before.")
    else:
        _say_start(movers, back)
