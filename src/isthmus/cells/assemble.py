"""A cloud from what its databases said: who answered, and what of a host the scheduler sees."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

from isthmus import errors
from isthmus.model.compute.cloud import (
    CELL0_UUID,
    DEFAULT_ZONE,
    ApiState,
    ComputeCloud,
    ComputeHost,
    Provider,
    ResourceInventory,
)


def assemble(
    api: ApiState,
    hosts: Mapping[str, tuple[ComputeHost, ...] | errors.IsthmusError],
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
    for address in api.cells:
        cell = address.cell
        if cell.uuid == CELL0_UUID:
            continue
        answer = hosts[cell.uuid]
        if isinstance(answer, errors.IsthmusError):
            cells.append(dataclasses.replace(cell, error=answer.message))
            continue
        cells.append(cell)
        for host in answer:
            closed = host.closed
            if cell.disabled:
                closed = "cell is disabled"
            elif api.host_cells.get(host.name) != cell.uuid:
                closed = "no host mapping to this cell"
            found.append(
                dataclasses.replace(
                    host,
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
