"""The database of one cell, closer: its services, and how many servers are in which state."""

import re
from urllib.parse import urlsplit

import sqlalchemy as sa

from isthmus.model.compute.health import CellService
from isthmus.store.nova import tables
from isthmus.store.nova.cell import find_closed
from isthmus.store.nova.reading import read_now, reading

#: A name or an address, and a port; or a placeholder of Nova's.
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]|\{\w+\})(:(\d+|\{\w+\}))?")


def collect_services(url: str, *, down_time_s: int, timeout_s: float) -> tuple[CellService, ...]:
    """Read the services of a cell.

    Args:
        url: of the cell's database.
        down_time_s: a service is down that was not seen for so long, by the database's clock.
        timeout_s: for each answer.

    Raises:
        Unreachable: the database does not answer.
    """
    service = tables.SERVICES.c
    with reading(url, timeout_s) as connection:
        rows = connection.execute(
            sa.select(
                service.binary,
                service.host,
                service.disabled,
                service.forced_down,
                sa.func.coalesce(service.last_seen_up, service.created_at).label("seen"),
                sa.type_coerce(read_now(connection), sa.DateTime()).label("now"),
            )
            .where(service.deleted == 0)
            .order_by(service.binary, service.host)
        ).mappings()
        return tuple(
            CellService(
                binary=row["binary"] or "",
                host=row["host"] or "",
                closed=find_closed(row, down_time_s),
            )
            for row in rows
        )


def count_servers(url: str, timeout_s: float) -> dict[tuple[str, str], int]:
    """Count the servers of a cell by vm_state and task_state.

    Raises:
        Unreachable: the database does not answer.
    """
    table = tables.INSTANCES.c
    with reading(url, timeout_s) as connection:
        rows = connection.execute(
            sa.select(table.vm_state, table.task_state, sa.func.count())
            .where(table.deleted == 0, sa.or_(table.hidden == 0, table.hidden.is_(None)))
            .group_by(table.vm_state, table.task_state)
        )
        return {(row[0] or "", row[1] or ""): row[2] for row in rows}


def render_place(url: str) -> str:
    """Return where a URL leads, without who logs in there and with what."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    hosts = [one.rpartition("@")[2] for one in parts.netloc.split(",")]
    if not all(map(_HOST.fullmatch, hosts)):  # a password with a comma, say
        hosts = hosts[-1:]
    if not parts.scheme or (parts.netloc and not _HOST.fullmatch(hosts[0])):
        return ""
    return f"{parts.scheme}://{','.join(hosts)}/{parts.path.lstrip('/')}"
