"""Nova's API database: cell mappings, host mappings, aggregates and flavors."""

from collections import defaultdict

import sqlalchemy as sa

from isthmus.model.compute.cloud import (
    CELL0_UUID,
    ApiState,
    Cell,
    CellAddress,
    Flavor,
    HostAggregate,
)
from isthmus.store.nova import tables
from isthmus.store.nova.reading import API_DATABASE, format_url, reading


def collect_api_state(url: str, template: str, timeout_s: float) -> ApiState:
    """Read what the API database says of the whole cloud.

    Args:
        url: of the API database.
        template: `[database] connection`, for cell mappings that refer to it.
        timeout_s: for each answer.

    Raises:
        Unreachable: it does not answer.
        Invalid: a URL makes no sense.
    """
    with reading(url, timeout_s, API_DATABASE) as connection:
        cells = list_cells(connection, template)
        uuids = {one.id: one.cell.uuid for one in cells}
        hosts = connection.execute(
            sa.select(tables.HOST_MAPPINGS.c.host, tables.HOST_MAPPINGS.c.cell_id)
        ).all()
        return ApiState(
            cells=cells,
            host_cells={host: uuids.get(cell, "") for host, cell in hosts},
            aggregates=_list_aggregates(connection),
            flavors=_list_flavors(connection),
        )


def list_cells(connection: sa.Connection, template: str) -> tuple[CellAddress, ...]:
    """List the cell mappings, with cell0, in the order in which they were made."""
    table = tables.CELL_MAPPINGS
    rows = connection.execute(sa.select(table).order_by(table.c.id)).mappings()
    return tuple(
        CellAddress(
            id=row["id"],
            cell=Cell(
                name=row["name"] or ("cell0" if row["uuid"] == CELL0_UUID else row["uuid"]),
                uuid=row["uuid"],
                disabled=bool(row["disabled"]),
            ),
            database=format_url(row["database_connection"], template),
            queue=row["transport_url"] or "",
        )
        for row in rows
    )


def _list_aggregates(connection: sa.Connection) -> tuple[HostAggregate, ...]:
    hosts: dict[int, set[str]] = defaultdict(set)
    metadata: dict[int, dict[str, str]] = defaultdict(dict)
    for number, host in connection.execute(
        sa.select(tables.AGGREGATE_HOSTS.c.aggregate_id, tables.AGGREGATE_HOSTS.c.host)
    ):
        hosts[number].add(host)
    table = tables.AGGREGATE_METADATA
    for number, key, value in connection.execute(
        sa.select(table.c.aggregate_id, table.c.key, table.c.value)
    ):
        metadata[number][key] = value or ""
    rows = connection.execute(
        sa.select(tables.AGGREGATES.c.id, tables.AGGREGATES.c.name).order_by(
            tables.AGGREGATES.c.name
        )
    )
    return tuple(
        HostAggregate(name=name, hosts=frozenset(hosts[number]), metadata=metadata[number])
        for number, name in rows
    )


def _list_flavors(connection: sa.Connection) -> tuple[Flavor, ...]:
    table, specs = tables.FLAVORS, tables.FLAVOR_EXTRA_SPECS
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for number, key, value in connection.execute(
        sa.select(specs.c.flavor_id, specs.c.key, specs.c.value)
    ):
        found[number][key] = value or ""
    rows = connection.execute(sa.select(table).order_by(table.c.name)).mappings()
    return tuple(
        Flavor(
            name=row["name"],
            flavorid=row["flavorid"],
            vcpus=row["vcpus"],
            ram_mib=row["memory_mb"],
            disk_gib=row["root_gb"] or 0,
            ephemeral_gib=row["ephemeral_gb"] or 0,
            swap_mib=row["swap"] or 0,
            id=row["id"],
            extra_specs=found[row["id"]],
        )
        for row in rows
        if not row["disabled"]
    )
