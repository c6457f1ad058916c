"""Lists of servers joined to the databases of Nova."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.cells.assemble import name_cells
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.listing import Listing, find_after
from isthmus.config.nova import read_nova
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.compute.server import ServerQuery
from isthmus.store.nova.mappings import ApiMappings, collect_cells
from isthmus.store.nova.servers import CellServers


@dataclass(frozen=True, slots=True)
class Directory:
    """The cells of a Nova, and where their servers and mappings are read."""

    cells: tuple[CellAddress, ...]
    servers: CellServers
    mappings: ApiMappings


def open_directory(nova: Sequence[Path], budget_s: float) -> Directory:
    """Read which cells there are.

    Args:
        nova: Nova's files.
        budget_s: for each answer of a database.

    Raises:
        Invalid: the files do not say where the API database is.
        Unreachable: it does not answer.
    """
    where = read_nova(nova)
    cells = collect_cells(where.api, where.template, budget_s)
    named = name_cells([one.cell for one in cells])
    return Directory(
        tuple(replace(one, cell=cell) for one, cell in zip(cells, named, strict=True)),
        CellServers(budget_s),
        ApiMappings(where.api, budget_s),
    )


def open_listing(
    directory: Directory, query: ServerQuery, *, limit: int | None, marker: str, budget_s: float
) -> Listing:
    """Return a list of servers, which asks the cells once it is iterated.

    Args:
        directory: the cells.
        query: what is asked for.
        limit: of rows; None for all.
        marker: uuid of the server that the list goes on after; empty from the first one on.
        budget_s: that a cell has for each answer.

    Raises:
        NotFound: there is no such marker.
        Unreachable: its cell does not answer.
    """
    if marker:
        after = find_after(directory.mappings, directory.servers, directory.cells, marker, query)
        query = replace(query, after=after)
    return Listing(
        cells=directory.cells,
        servers=directory.servers,
        query=query,
        budget_s=budget_s,
        breakers=Breakers(),
        limit=limit,
    )
