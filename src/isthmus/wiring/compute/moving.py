"""A host that moves to another cell joined to the databases of Nova and Placement."""

from collections.abc import Sequence
from pathlib import Path

from isthmus import errors
from isthmus.cells.moving.movers import Movers
from isthmus.config.nova import NovaDatabases, read_databases
from isthmus.model.compute.cloud import CellAddress
from isthmus.store.nova.mappings import collect_cells
from isthmus.store.nova.moving import MoveDatabases


def open_movers(nova: Sequence[Path], placement: Sequence[Path], timeout_s: float) -> Movers:
    """Return what moves hosts.

    Args:
        nova: Nova's files.
        placement: Placement's files.
        timeout_s: for each answer of a database.

    Raises:
        Invalid: the files do not say where the databases are.
        Unreachable: the API database does not answer.
    """
    where = read_databases(nova, placement)
    cells = collect_cells(where.api, where.template, timeout_s)
    if not cells:
        raise errors.NotFound("this Nova has no cells")
    return Movers(cells, open_databases(where, cells, timeout_s), where.sees_cells)


def open_databases(
    where: NovaDatabases, cells: Sequence[CellAddress], timeout_s: float
) -> MoveDatabases:
    """Return the databases of a Nova, for hosts that move between these cells."""
    return MoveDatabases(
        where.api,
        where.placement,
        cells,
        down_time_s=where.service_down_time_s,
        timeout_s=timeout_s,
    )
