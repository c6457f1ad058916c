"""The database of one cell: its compute nodes, and whether their services are up."""

from typing import Any

import sqlalchemy as sa

from isthmus.model.compute.cloud import CellHosts, ComputeHost
from isthmus.store.nova import tables
from isthmus.store.nova.reading import read_now, reading


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
            _to_host(row, cell, _find_closed(row, down_time_s), cpu_ratio, ram_ratio)
            for row in rows
        )
        version = connection.scalar(
            sa.select(sa.func.min(service.c.version)).where(
                service.c.binary == "nova-compute", service.c.deleted == 0
            )
        )
        return CellHosts(hosts=hosts, version=version or 0)


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


def _find_closed(row: Any, down_time_s: int) -> str:
    if row["service"] is None:
        return "no service nova-compute"
    if row["disabled"]:
        return "service is disabled"
    if row["forced_down"]:
        return "service is forced down"
    seen, now = row["seen"], row["now"]
    if seen is None or abs((now - seen).total_seconds()) > down_time_s:
        return "service is down"
    return ""
