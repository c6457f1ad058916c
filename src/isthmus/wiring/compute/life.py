"""The life of a cell joined to the databases of Nova."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isthmus import errors
from isthmus.cells.ask import ask_cells
from isthmus.cells.assemble import name_cells
from isthmus.cells.life import check_change, check_removal, get_cell
from isthmus.config.nova import NovaDatabases, read_nova
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.health import CellDetail, CellState
from isthmus.store.nova import life
from isthmus.store.nova.cell import collect_state
from isthmus.store.nova.detail import collect_services, count_servers, render_place
from isthmus.store.nova.mappings import collect_cells
from isthmus.store.nova.reading import format_url


def collect_detail(where: NovaDatabases, name: str, budget_s: float) -> CellDetail:
    """Read all that is shown of one cell.

    Args:
        where: the databases are.
        name: of the cell, or its uuid.
        budget_s: for the database of the cell, and for Nova's API database.

    Raises:
        NotFound: there is no such cell.
        Unreachable: the API database does not answer.
    """
    found = _get_address(where, name, budget_s)

    def ask(address: CellAddress) -> CellDetail:
        url, seconds = address.database, where.service_down_time_s
        return CellDetail(
            state=collect_state(url, address.cell, down_time_s=seconds, timeout_s=budget_s),
            services=collect_services(url, down_time_s=seconds, timeout_s=budget_s),
            servers=count_servers(url, budget_s),
        )

    answer = ask_cells((found,), ask, budget_s, with_cell0=True)[found.cell.uuid]
    if isinstance(answer, errors.IsthmusError):
        silent = replace(found.cell, error=answer.message)
        answer = CellDetail(state=CellState(cell=silent))
    queue = format_url(found.queue, where.queue_template)
    return replace(answer, database=render_place(found.database), queue=render_place(queue))


def set_enabled(files: Sequence[Path], name: str, *, enabled: bool, budget_s: float) -> bool:
    """Enable or disable a cell; return whether that changed anything.

    Args:
        files: Nova's.
        name: of the cell, or its uuid.
        enabled: what it is to be.
        budget_s: for Nova's API database.

    Raises:
        NotFound: there is no such cell.
        Unsupported: it is cell0.
        Unreachable: the API database does not answer.
    """
    where = read_nova(files)
    cell = _get_address(where, name, budget_s).cell
    check_change(cell)
    return life.set_enabled(where.api, cell.uuid, budget_s, enabled=enabled)


def remove_cell(files: Sequence[Path], name: str, budget_s: float) -> None:
    """Remove a cell that nothing is left in; what was interrupted goes on when it is run again.

    It is disabled first, and looked at once more: nothing comes into it after that.

    Args:
        files: Nova's.
        name: of the cell, or its uuid.
        budget_s: for each database.

    Raises:
        NotFound: there is no such cell.
        InUse: something is left in it.
        Unreachable: its database does not answer.
    """
    where = read_nova(files)
    detail = collect_detail(where, name, budget_s)
    check_removal(detail)
    uuid = detail.state.cell.uuid
    set_enabled(files, uuid, enabled=False, budget_s=budget_s)
    check_removal(collect_detail(where, uuid, budget_s))
    life.delete_cell(where.api, uuid, budget_s)


def _get_address(where: NovaDatabases, name: str, budget_s: float) -> CellAddress:
    cells = collect_cells(where.api, where.template, budget_s)
    found = get_cell(cells, name)
    named = {one.uuid: one for one in name_cells([each.cell for each in cells])}
    return replace(found, cell=named[found.cell.uuid])
