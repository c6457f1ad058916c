"""The database of one cell: its compute nodes, and whether their services are up."""

from typing import Any

import sqlalchemy as sa

from isthmus.model.compute.cloud import Cell, CellHosts, ComputeHost
from isthmus.model.compute.health import CellState
from isthmus.store.nova import tables
from isthmus.store.nova.reading import read_now, read_place, reading

#: Moves of these states hold no allocations any more.
_ENDED = ("error", "failed", "completed", "confirmed", "reverted", "cancelled", "done")


def collect_hosts(
    url: str,
    cell: str,
    *,
    down_time_s: int,
    timeout_s: float,
    cpu_ratio: float = 4.0,
    ram_ratio: float = 1.0,
) -> CellHosts:
    """Read the compute nodes of a cell.

    Args:
        url: of the cell's database.
        cell: its name.
        down_time_s: a service is down that was not seen for so long, by the database's clock.
        timeout_s: for each answer.
        cpu_ratio: of nodes that have none, as Nova takes it then.
        ram_ratio: the same.

    Raises:
        Unreachable: the database does not answer.
    """
    node, service = tables.COMPUTE_NODES, tables.SERVICES
    with reading(url, timeout_s) as connection:
        rows = connection.execute(
            sa.select(
                node,
                service.c.disabled.label("disabled"),
                service.c.disabled_reason,
                service.c.forced_down,
                sa.func.coalesce(service.c.last_seen_up, service.c.created_at).label("seen"),
                sa.type_coerce(read_now(connection), sa.DateTime()).label("now"),
                service.c.host.label("service"),
            )
            .select_from(
                node.outerjoin(
                    service,
                    (service.c.host == node.c.host)
                    & (service.c.binary == "nova-compute")
                    & (service.c.deleted == 0),
                )
            )
            .where(node.c.deleted == 0)
            .order_by(node.c.hypervisor_hostname)
        ).mappings()
        hosts = tuple(
            _to_host(row, cell, _find_host_closed(row, down_time_s), cpu_ratio, ram_ratio)
            for row in rows
        )
        version = connection.scalar(
            sa.select(sa.func.min(service.c.version)).where(
                service.c.binary == "nova-compute", service.c.deleted == 0
            )
        )
        return CellHosts(hosts=hosts, version=version or 0)


def collect_state(url: str, cell: Cell, *, down_time_s: int, timeout_s: float) -> CellState:
    """Read what a cell has: hosts, servers, moves, and the revision of its tables.

    Args:
        url: of the cell's database.
        cell: whose it is.
        down_time_s: a service is down that was not seen for so long, by the database's clock.
        timeout_s: for each answer.

    Raises:
        Unreachable: the database does not answer.
    """
    found = collect_hosts(url, cell.name, down_time_s=down_time_s, timeout_s=timeout_s)
    instance, move = tables.INSTANCES.c, tables.MIGRATIONS.c
    with reading(url, timeout_s) as connection:
        servers = connection.scalars(
            sa.select(instance.uuid).where(
                instance.deleted == 0, sa.or_(instance.hidden == 0, instance.hidden.is_(None))
            )
        )
        moves = connection.scalars(
            sa.select(move.uuid).where(move.deleted == 0, move.status.not_in(_ENDED))
        )
        return CellState(
            cell=cell,
            hosts=found.hosts,
            schema=_read_schema(connection),
            place=read_place(connection),
            servers=frozenset(servers),
            migrations=frozenset(moves),
        )


def _read_schema(connection: sa.Connection) -> str:
    if not sa.inspect(connection).has_table(tables.REVISION.name):
        return ""
    return connection.scalar(sa.select(tables.REVISION.c.version_num)) or ""


def _to_host(row: Any, cell: str, closed: str, cpu_ratio: float, ram_ratio: float) -> ComputeHost:
    return ComputeHost(
        name=row["host"] or "",
        node=row["hypervisor_hostname"] or "",
        uuid=row["uuid"] or "",
        cell=cell,
        closed=closed,
        numa=row["numa_topology"] or "",
        pci=row["pci_stats"] or "",
        cpu_ratio=row["cpu_allocation_ratio"] or cpu_ratio,
        ram_ratio=row["ram_allocation_ratio"] or ram_ratio,
    )


def _find_host_closed(row: Any, down_time_s: int) -> str:
    if row["service"] is None:
        return "no service nova-compute"
    return find_closed(row, down_time_s)


def find_closed(row: Any, down_time_s: int) -> str:
    """Return why a service is not to be reckoned with, empty where it is up.

    Args:
        row: of the service, with `seen` and `now`.
        down_time_s: it is down if it was not seen for so long.
    """
    if row["disabled"]:
        return "service is disabled"
    if row["forced_down"]:
        return "service is forced down"
    seen, now = row["seen"], row["now"]
    if seen is None or abs((now - seen).total_seconds()) > down_time_s:
        return "service is down"
    return ""
