"""A cloud from what its databases said: who answered, and what of a host the scheduler sees."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from isthmus import errors
from isthmus.model.compute.cloud import (
    CELL0_UUID,
    DEFAULT_ZONE,
    ApiState,
    Cell,
    CellHosts,
    ComputeCloud,
    Provider,
    ResourceInventory,
)
from isthmus.model.compute.health import CellState


def assemble(
    api: ApiState,
    hosts: Mapping[str, CellHosts | errors.IsthmusError],
    providers: tuple[Provider, ...],
    inventories: tuple[ResourceInventory, ...],
) -> ComputeCloud:
    """Put together what was read.

    Args:
        api: Nova's API database.
        hosts: uuid of a cell -> its compute nodes, or why its database did not answer.
        providers: of Placement.
        inventories: of Placement.
    """
    zones: dict[str, str] = {}
    members: dict[str, list[str]] = defaultdict(list)
    for aggregate in api.aggregates:
        zone = aggregate.metadata.get("availability_zone")
        for name in aggregate.hosts:
            members[name].append(aggregate.name)
            if zone:
                zones[name] = zone
    cells, found = [], []
    for cell in name_cells([one.cell for one in api.cells if one.cell.uuid != CELL0_UUID]):
        answer = hosts[cell.uuid]
        if isinstance(answer, errors.IsthmusError):
            cells.append(dataclasses.replace(cell, error=answer.message))
            continue
        cells.append(dataclasses.replace(cell, version=answer.version))
        for host in answer.hosts:
            closed = host.closed
            if cell.disabled:
                closed = "cell is disabled"
            elif api.host_cells.get(host.name) != cell.uuid:
                closed = "no host mapping to this cell"
            found.append(
                dataclasses.replace(
                    host,
                    cell=cell.name,
                    closed=closed,
                    zone=zones.get(host.name, DEFAULT_ZONE),
                    aggregates=tuple(members[host.name]),
                )
            )
    return ComputeCloud(
        cells=tuple(cells),
        hosts=tuple(found),
        providers=providers,
        inventories=inventories,
        flavors=api.flavors,
    )


def assemble_states(
    cells: Sequence[Cell], answers: Mapping[str, CellState | errors.IsthmusError]
) -> tuple[CellState, ...]:
    """Put together what the cells said of themselves.

    Args:
        cells: all of them.
        answers: uuid of a cell -> its state, or why its database did not answer.
    """
    found = []
    for cell in cells:
        answer = answers[cell.uuid]
        if isinstance(answer, errors.IsthmusError):
            answer = CellState(cell=dataclasses.replace(cell, error=answer.message))
        found.append(answer)
    return tuple(found)


def name_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Give cells that share a name their uuid besides: Nova tells them apart by that alone."""
    named = Counter(one.name for one in cells)
    return [
        one if named[one.name] == 1 else dataclasses.replace(one, name=f"{one.name} ({one.uuid})")
        for one in cells
    ]
