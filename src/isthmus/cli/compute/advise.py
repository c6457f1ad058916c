"""`isthmus cell advise`: stay with the cells, add one, or split one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus import errors
from isthmus.cli import render
from isthmus.cli.compute import grow
from isthmus.cli.compute.health import NovaConf, Timeout
from isthmus.cli.options import Output
from isthmus.cli.render import Format, note
from isthmus.config.cell_file import SERVERS_FILE
from isthmus.errors import EXIT_FOUND

if TYPE_CHECKING:
    from isthmus.model.compute.adding import CellServers
    from isthmus.model.compute.load import Advice, CellLoad

COLUMNS = ("cell", "advice", "hosts", "room_to", "shared_with", "why")
NUMBERS = ("cell", "measure", "value", "limit", "share")


def advise_cells(
    lab: grow.Lab = "",
    site: grow.Site = "",
    servers: Annotated[
        list[Path] | None,
        typer.Option("--servers", help=f"RabbitMQs' management APIs, else {SERVERS_FILE}."),
    ] = None,
    most_hosts: Annotated[
        int, typer.Option("--most-hosts", min=0, help="That may be lost with one cell; 0: any.")
    ] = 0,
    measure_for: Annotated[
        float, typer.Option("--for", min=0.1, metavar="SECONDS", help="How long to measure.")
    ] = 10.0,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Show each number with its limit.")
    ] = False,
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Say whether to stay with the cells, add one or split one, with the numbers.

    Measures each cell's database and RabbitMQ, and how late its hosts report. One cell is enough
    until one of them comes to its limits, or more hosts hang on it than may be lost at once. Only
    reads. The exit code is 1 where anything but staying is advised.
    """
    from isthmus.cells.advice.advise import Rule, advise
    from isthmus.config.nova import read_nova
    from isthmus.wiring.compute.advising import collect_loads

    deployment = grow.open_deployment(
        lab, site, nova_conf=nova_conf, timeout=timeout, wait=grow.WAIT_S
    )
    managements = [deployment.open_servers()] if lab else _read_servers(servers)
    where = read_nova(deployment.nova_files)
    loads = collect_loads(where, managements, budget_s=timeout, interval_s=measure_for)
    found = advise(loads, Rule(most_hosts=most_hosts))
    if numbers and output is Format.TABLE:
        render.print_rows(_list_numbers(found), NUMBERS, output, empty="Nothing was measured.")
    rows = [_to_row(one, load) for one, load in zip(found, loads, strict=True)]
    render.print_rows(rows, COLUMNS, output, empty="No cells.")
    for load in loads:
        for why in load.why:
            note(f"Of cell {load.cell} not all was measured: {why}.")
    if any(one.step.value != "stay" for one in found):
        raise typer.Exit(EXIT_FOUND)


def _read_servers(files: list[Path] | None) -> "list[CellServers]":
    from isthmus.config.cell_file import read_cell_servers

    if files is None:
        files = [SERVERS_FILE] if SERVERS_FILE.exists() else []
    missing = [one for one in files if not one.exists()]
    if missing:
        raise errors.Invalid(f"{missing[0]} is not there")
    return [read_cell_servers(one, makes=False) for one in files]


def _list_numbers(found: "tuple[Advice, ...]") -> list[dict[str, Any]]:
    return [{"cell": one.cell, **_to_number(measure)} for one in found for measure in one.measures]


def _to_number(one: Any) -> dict[str, Any]:
    share = None if one.share == float("inf") else round(one.share, 3)
    return {
        "measure": one.name,
        "value": round(one.value, 3),
        "limit": one.limit,
        "unit": one.unit,
        "share": share,
    }


def _to_row(one: "Advice", load: "CellLoad") -> dict[str, Any]:
    return {
        "cell": one.cell,
        "advice": one.step.value,
        "hosts": one.hosts,
        "servers": load.servers,
        "room_to": one.most_hosts,
        "shared_with": list(one.shared_with),
        "why": one.why,
        "statements_s": round(load.database.questions_s, 1) if load.database else None,
        "messages_s": round(load.queue.messages_s, 1) if load.queue else None,
        "numbers": [_to_number(each) for each in one.measures],
    }
