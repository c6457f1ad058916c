"""What servers have in other tables than `instances`, one question for each of them."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus.store.nova import tables

_Rows = dict[str, dict[str, Any]]
#: Nova shows faults of no others.
_FAULTY = frozenset({"error", "deleted"})


def add_details(
    connection: sa.Connection, rows: Sequence[dict[str, Any]], details: Iterable[str]
) -> None:
    """Add what stands in other tables.

    Args:
        connection: of their cell.
        rows: of `instances`; they are added to.
        details: of `DETAILS` and `API_DETAILS`.
    """
    by_uuid = {values["uuid"]: values for values in rows}
    for name in sorted(details):
        many, read = _DETAILS[name]
        found = read(connection, by_uuid)
        for uuid, values in by_uuid.items():
            values[name] = found[uuid] if uuid in found else many()


def _read_metadata(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.INSTANCE_METADATA
    return _read_pairs(connection, rows, table, table.c.deleted == 0)


def _read_system_metadata(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    """Read it, also of deleted servers, whose rows are deleted."""
    return _read_pairs(connection, rows, tables.INSTANCE_SYSTEM_METADATA, sa.true())


def _read_pairs(
    connection: sa.Connection, rows: _Rows, table: sa.Table, which: sa.ColumnElement[bool]
) -> dict[str, Any]:
    """Read keys and values, as one object for each server: there are many of them."""
    name = "json_group_object" if connection.dialect.name == "sqlite" else "json_objectagg"
    pairs = getattr(sa.func, name)(table.c.key, table.c.value)
    statement = (
        sa.select(table.c.instance_uuid, pairs)
        .where(table.c.instance_uuid.in_(list(rows)), which)
        .group_by(table.c.instance_uuid)
    )
    return {uuid: json.loads(text) for uuid, text in connection.execute(statement)}


def _read_tags(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.TAGS.c
    there = [uuid for uuid, values in rows.items() if not values["deleted"]]  # as Nova shows them
    found: dict[str, Any] = defaultdict(list)
    for uuid, tag in connection.execute(
        sa.select(table.resource_id, table.tag)
        .where(table.resource_id.in_(there))
        .order_by(table.resource_id, table.tag)
    ):
        found[uuid].append(tag)
    return found


def _read_texts(
    connection: sa.Connection, rows: _Rows, uuid: sa.ColumnElement[Any], text: sa.ColumnElement[Any]
) -> dict[str, Any]:
    statement = sa.select(uuid, text).where(uuid.in_(list(rows)), text.is_not(None))
    return {row[0]: row[1] for row in connection.execute(statement)}


def _read_flavors(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.INSTANCE_EXTRA.c
    return _read_texts(connection, rows, table.instance_uuid, table.flavor)


def _read_trusted_certs(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.INSTANCE_EXTRA.c
    return _read_texts(connection, rows, table.instance_uuid, table.trusted_certs)


def _read_networks(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.INSTANCE_INFO_CACHES.c
    return _read_texts(connection, rows, table.instance_uuid, table.network_info)


def _read_user_data(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.USER_DATA.c
    return _read_texts(connection, rows, table.uuid, table.user_data)


def _read_services(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    """Read the nova-compute of each server's host, the one in use first."""
    table = tables.SERVICES.c
    hosts = {values["host"] for values in rows.values() if values["host"]}
    if not hosts:
        return {}
    by_host: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(
        sa.select(*tables.SERVICES.c)
        .where(table.host.in_(hosts), table.binary == "nova-compute")
        .order_by(sa.case((table.deleted == 0, 0), else_=1), table.id)
    ).mappings():
        by_host[row["host"]].append(dict(row))
    return {
        uuid: by_host.get(values["host"], [])
        for uuid, values in rows.items()
        if not values["deleted"]
    }


def _read_faults(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    """Read the last fault of each server whose faults are shown."""
    faulty = [
        uuid for uuid, values in rows.items() if values["deleted"] or values["vm_state"] in _FAULTY
    ]
    if not faulty:
        return {}
    table = tables.INSTANCE_FAULTS.c
    last = (
        sa.select(sa.func.max(table.id))
        .where(table.instance_uuid.in_(faulty), table.deleted == 0)
        .group_by(table.instance_uuid)
    )
    statement = sa.select(*table).where(table.id.in_(last))
    return {row["instance_uuid"]: dict(row) for row in connection.execute(statement).mappings()}


def _read_volumes(connection: sa.Connection, rows: _Rows) -> dict[str, Any]:
    table = tables.BLOCK_DEVICES.c
    found: dict[str, Any] = defaultdict(list)
    for uuid, volume, goes in connection.execute(
        sa.select(table.instance_uuid, table.volume_id, table.delete_on_termination)
        .where(
            table.instance_uuid.in_(list(rows)), table.deleted == 0, table.volume_id.is_not(None)
        )
        .order_by(table.id)
    ):
        found[uuid].append({"volume_id": volume, "delete_on_termination": bool(goes)})
    return found


_Reader = Callable[[sa.Connection, _Rows], dict[str, Any]]
#: Detail -> what a server has that has none, and how it is read.
_DETAILS: dict[str, tuple[Callable[[], Any], _Reader]] = {
    "metadata": (dict, _read_metadata),
    "tags": (list, _read_tags),
    "flavor": (str, _read_flavors),
    "network_info": (str, _read_networks),
    "system_metadata": (dict, _read_system_metadata),
    "trusted_certs": (str, _read_trusted_certs),
    "user_data": (type(None), _read_user_data),
    "services": (list, _read_services),
    "faults": (dict, _read_faults),
    "volumes": (list, _read_volumes),
}
