"""The databases of Nova and Placement joined to the checks of cells."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from isthmus import errors
from isthmus.cells.ask import ask_cells
from isthmus.cells.assemble import assemble_states, name_cells
from isthmus.cells.health import any_stray, check_cells, confirm, find_strays
from isthmus.config.nova import NovaDatabases, read_databases
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.health import CellState, CloudState
from isthmus.model.verdict import Report
from isthmus.store.nova.cell import collect_state
from isthmus.store.nova.mappings import collect_cells, collect_links
from isthmus.store.nova.placement import collect_consumers


def collect_cloud_state(
    where: NovaDatabases, budget_s: float, silent: Mapping[str, str] = MappingProxyType({})
) -> CloudState:
    """Read what the databases say of all cells, with cell0.

    Args:
        where: the databases are; Placement's may be left empty, and its consumers are then.
        budget_s: for each of them.
        silent: uuid of a cell that has just not answered -> why; it is not asked again.

    Raises:
        Unreachable: the API database or Placement's does not answer.
    """
    hosts, servers, leaving = collect_links(where.api, budget_s)
    cells = collect_cells(where.api, where.template, budget_s)
    named = name_cells([one.cell for one in cells])
    addresses = tuple(replace(one, cell=cell) for one, cell in zip(cells, named, strict=True))

    def ask(address: CellAddress) -> CellState:
        return collect_state(
            address.database,
            address.cell,
            down_time_s=where.service_down_time_s,
            timeout_s=budget_s,
        )

    asked = tuple(one for one in addresses if one.cell.uuid not in silent)
    answers = ask_cells(asked, ask, budget_s, with_cell0=True)
    answers |= {uuid: errors.Unreachable(why) for uuid, why in silent.items()}
    return CloudState(
        cells=assemble_states(named, answers),
        host_cells=hosts,
        server_cells=servers,
        leaving=leaving,
        consumers=collect_consumers(where.placement, budget_s) if where.placement else {},
    )


def verify_cells(
    nova: Sequence[Path], placement: Sequence[Path], budget_s: float
) -> tuple[CloudState, Report]:
    """Read a cloud and check its cells; what may be a server that comes or goes is read twice.

    Args:
        nova: Nova's files.
        placement: Placement's files.
        budget_s: for each database.

    Raises:
        Invalid: the files do not say where the databases are.
        Unreachable: the API database or Placement's does not answer.
    """
    where = read_databases(nova, placement)
    state = collect_cloud_state(where, budget_s)
    strays = find_strays(state)
    if any_stray(strays):
        silent = {one.cell.uuid: one.cell.error for one in state.cells if one.cell.error}
        state = collect_cloud_state(where, budget_s, silent)
        strays = confirm(strays, find_strays(state))
    return state, check_cells(state, strays)
