"""`isthmus cell list` and `isthmus cell verify`: how the cells stand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.compute.check import check_timeout
from isthmus.cli.options import Output
from isthmus.cli.render import Format, note
from isthmus.config.nova import NOVA_FILE, PLACEMENT_FILE
from isthmus.errors import EXIT_FOUND
from isthmus.model.verdict import Answer, is_clean, to_row

if TYPE_CHECKING:
    from isthmus.model.compute.health import CellState

COLUMNS = ("name", "state", "database", "schema", "hosts", "open", "servers")
FOUND = ("severity", "code", "type", "name", "message", "evidence", "remedy")
NovaConf = Annotated[
    list[Path] | None, typer.Option("--nova-conf", help=f"Nova's file, else {NOVA_FILE}.")
]
PlacementConf = Annotated[
    list[Path] | None,
    typer.Option("--placement-conf", help=f"Placement's file, else {PLACEMENT_FILE}."),
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, help="For each database, in seconds.")
]


def list_cells(
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """List the cells: whether their databases answer, and what is in them.

    Open are the hosts that take servers. The exit code is 1 where a cell that is not disabled does
    not answer.
    """
    from isthmus.config.nova import read_nova
    from isthmus.wiring.compute.health import collect_cloud_state

    check_timeout(timeout)
    state = collect_cloud_state(read_nova(nova_conf or [NOVA_FILE]), timeout)
    render.print_rows([_to_row(one) for one in state.cells], COLUMNS, output, empty="No cells.")
    if any(one.cell.error and not one.cell.disabled for one in state.cells):
        raise typer.Exit(EXIT_FOUND)


def _to_row(one: "CellState") -> dict[str, Any]:
    silent = bool(one.cell.error)
    return {
        "name": one.cell.name,
        "uuid": one.cell.uuid,
        "state": "disabled" if one.cell.disabled else "enabled",
        "database": one.cell.error or "answers",
        "schema": one.schema,
        "hosts": None if silent else len(one.hosts),
        "open": None if silent else sum(not host.closed for host in one.hosts),
        "servers": None if silent else len(one.servers),
    }


def verify_cells(
    nova_conf: NovaConf = None,
    placement_conf: PlacementConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Check the cells: databases, tables, services, mappings, servers and allocations.

    Reads all databases of Nova and Placement, and writes nothing. The exit code is 1 where
    anything is wrong, or could not be seen.
    """
    from isthmus.wiring.compute import health

    check_timeout(timeout)
    _, report = health.verify_cells(
        nova_conf or [NOVA_FILE], placement_conf or [PLACEMENT_FILE], timeout
    )
    rows = [to_row(one) for one in report.findings]
    render.print_rows(rows, FOUND, output, empty="The cells are as they should be.")
    unseen = [one for one in report.rulings if one.answer is Answer.NOT_SEEN]
    for one in unseen:
        note(f"{one.check} was not seen: {one.why}.")
    if unseen or not is_clean(report.findings):
        raise typer.Exit(EXIT_FOUND)
