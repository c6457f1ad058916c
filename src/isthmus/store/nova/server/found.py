"""What a Nova has of a cell that is being added."""

from dataclasses import replace

import sqlalchemy as sa

from isthmus.model.compute.adding import AddState, NewCell
from isthmus.store.nova import tables
from isthmus.store.nova.detail import collect_services
from isthmus.store.nova.mappings import collect_cells, collect_links
from isthmus.store.nova.reading import reading

_CONDUCTOR, _COMPUTE = "nova-conductor", "nova-compute"


def collect_added(
    api: str, cell: NewCell, state: AddState, *, down_time_s: int, timeout_s: float
) -> AddState:
    """Read what there is of a cell in the API database and in its own.

    Args:
        api: URL of the API database.
        cell: as its file says.
        state: what is known besides.
        down_time_s: a service is down that was not seen for so long.
        timeout_s: for each answer.

    Raises:
        Unreachable: a database does not answer.
    """
    cells = collect_cells(api, "", timeout_s)
    mapped = next((one for one in cells if one.database == cell.database), None)
    if mapped is None:
        return state
    services = collect_services(cell.database, down_time_s=down_time_s, timeout_s=timeout_s)
    mappings, _, _ = collect_links(api, timeout_s)
    node = tables.COMPUTE_NODES.c
    with reading(cell.database, timeout_s) as connection:
        nodes = frozenset(connection.scalars(sa.select(node.host).where(node.deleted == 0)))
    hosts = tuple(one.host for one in services if one.binary == _COMPUTE and one.host in nodes)
    return replace(
        state,
        mapped=mapped,
        conductor=any(one.binary == _CONDUCTOR and not one.closed for one in services),
        hosts=hosts,
        unmapped=tuple(one for one in hosts if not mappings.get(one)),
    )
