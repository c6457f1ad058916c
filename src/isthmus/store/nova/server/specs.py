"""What people asked for when they created servers, as Nova's API database keeps it."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from isthmus.store.nova import tables
from isthmus.store.nova.reading import API_DATABASE, reading


def collect_choices(
    url: str, uuids: Sequence[str], timeout_s: float
) -> dict[str, tuple[str | None, dict[str, list[str]] | None]]:
    """Read the availability zone and the scheduler hints that servers were created with.

    The connection is kept for the next time.

    Args:
        url: of the API database.
        uuids: of servers; those without a request spec are left out.
        timeout_s: for each answer.

    Raises:
        Unreachable: it does not answer.
    """
    if not uuids:
        return {}
    table = tables.REQUEST_SPECS.c
    with reading(url, timeout_s, API_DATABASE, pooled=True) as connection:
        rows = connection.execute(
            sa.select(table.instance_uuid, table.spec).where(table.instance_uuid.in_(uuids))
        )
        return {row[0]: _read_choice(row[1]) for row in rows}


def _read_choice(spec: str) -> tuple[str | None, dict[str, list[str]] | None]:
    data: dict[str, Any] = json.loads(spec)["nova_object.data"]
    return data.get("availability_zone"), data.get("scheduler_hints")
