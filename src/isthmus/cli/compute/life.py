"""`isthmus cell show`, `enable`, `disable` and `remove`: the life of one cell."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.compute.check import check_timeout
from isthmus.cli.compute.health import NovaConf, Timeout
from isthmus.cli.options import Output, confirm_name
from isthmus.cli.render import Format, note
from isthmus.config.nova import NOVA_FILE
from isthmus.errors import EXIT_FOUND

if TYPE_CHECKING:
    from isthmus.model.compute.health import CellDetail

Name = Annotated[str, typer.Argument(metavar="CELL", help="Its name or uuid.")]


def show_cell(
    cell: Name,
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> None:
    """Show a cell: where its database and queue are, its services, hosts and servers.

    The exit code is 1 where its database does not answer.
    """
    from isthmus.config.nova import read_nova
    from isthmus.wiring.compute.life import collect_detail

    check_timeout(timeout)
    detail = collect_detail(read_nova(nova_conf or [NOVA_FILE]), cell, timeout)
    render.print_row(_to_row(detail), output)
    if detail.state.cell.error:
        raise typer.Exit(EXIT_FOUND)


def _to_row(detail: "CellDetail") -> dict[str, Any]:
    from isthmus.cells.servers.view import find_status

    state, silent = detail.state, bool(detail.state.cell.error)
    servers: Counter[str] = Counter()
    for (vm_state, task_state), count in sorted(detail.servers.items()):
        servers[find_status(vm_state, task_state)] += count
    services = Counter(f"{one.binary} {one.closed or 'up'}" for one in detail.services)
    return {
        "name": state.cell.name,
        "uuid": state.cell.uuid,
        "state": "disabled" if state.cell.disabled else "enabled",
        "answer": state.cell.error or "answers",
        "database": detail.database,
        "queue": detail.queue,
        "schema": state.schema,
        "services": dict(sorted(services.items())),
        "hosts": None if silent else [one.name for one in state.hosts],
        "closed": [f"{one.name}: {one.closed}" for one in state.hosts if one.closed],
        "servers": dict(servers),
    }


def enable_cell(
    cell: Name,
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
) -> None:
    """Have the scheduler use a cell."""
    _set_enabled(cell, nova_conf, timeout, enabled=True)


def disable_cell(
    cell: Name,
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
) -> None:
    """Have the scheduler leave a cell out; what is in it goes on."""
    _set_enabled(cell, nova_conf, timeout, enabled=False)


def _set_enabled(cell: str, nova_conf: list[Path] | None, timeout: float, *, enabled: bool) -> None:
    from isthmus.config.nova import read_nova
    from isthmus.wiring.compute import life

    check_timeout(timeout)
    files = nova_conf or [NOVA_FILE]
    changed = life.set_enabled(files, cell, enabled=enabled, budget_s=timeout)
    word = "enabled" if enabled else "disabled"
    note(f"Cell {cell} is {word}." if changed else f"Cell {cell} was {word} already.")
    if not read_nova(files).sees_cells:
        note(
            "Restart each nova-scheduler: it knows the cells as they were when it started, unless "
            "it has isthmus.nova.fresh_cells."
        )


def remove_cell(
    cell: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask only for the name.")] = False,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="CELL", help="Its name once more.")
    ] = None,
    nova_conf: NovaConf = None,
    timeout: Timeout = 10.0,
) -> None:
    """Remove a cell in which nothing is left.

    It is disabled, looked at once more, and its mapping deleted, with those that deleted servers
    have left. Its database and its queue stay.
    """
    from isthmus.cells.life import check_removal
    from isthmus.config.nova import read_nova
    from isthmus.wiring.compute import life

    check_timeout(timeout)
    files = nova_conf or [NOVA_FILE]
    where = read_nova(files)
    detail = life.collect_detail(where, cell, timeout)
    check_removal(detail)
    name = detail.state.cell.name
    confirm_name(f"Cell {name} goes out of this Nova.", name, yes=yes, given=confirm)
    life.remove_cell(files, detail.state.cell.uuid, timeout)
    note(f"Cell {name} is removed. Stop its nova-conductor, and drop its database and queue.")
    if not where.sees_cells:
        note("Restart nova-scheduler, nova-api and the super conductor, which still know it.")
