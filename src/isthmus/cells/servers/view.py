"""What people see of a server: its status, its addresses, in the words of the API.

Source:
    nova.api.openstack.common 34.0.0: `_STATE_MAP`, `task_and_vm_state_from_status`.
"""

import datetime
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from isthmus import errors
from isthmus.model.compute.cloud import Cell
from isthmus.model.compute.server import UNKNOWN, InstanceMapping, ServerRow
from isthmus.model.form import name_near

_RESIZE = {
    "resize_prep": "RESIZE",
    "resize_migrating": "RESIZE",
    "resize_migrated": "RESIZE",
    "resize_finish": "RESIZE",
}
_REBUILD = {
    "rebuilding": "REBUILD",
    "rebuild_block_device_mapping": "REBUILD",
    "rebuild_spawning": "REBUILD",
}
_DEFAULT = "default"
#: vm_state -> task_state -> status.
STATES: dict[str, dict[str, str]] = {
    "active": {
        _DEFAULT: "ACTIVE",
        "rebooting": "REBOOT",
        "reboot_pending": "REBOOT",
        "reboot_started": "REBOOT",
        "rebooting_hard": "HARD_REBOOT",
        "reboot_pending_hard": "HARD_REBOOT",
        "reboot_started_hard": "HARD_REBOOT",
        "updating_password": "PASSWORD",
        "migrating": "MIGRATING",
        **_REBUILD,
        **_RESIZE,
    },
    "building": {_DEFAULT: "BUILD"},
    "stopped": {_DEFAULT: "SHUTOFF", **_RESIZE, **_REBUILD},
    "resized": {_DEFAULT: "VERIFY_RESIZE", "resize_reverting": "REVERT_RESIZE"},
    "paused": {_DEFAULT: "PAUSED", "migrating": "MIGRATING"},
    "suspended": {_DEFAULT: "SUSPENDED"},
    "rescued": {_DEFAULT: "RESCUE"},
    "error": {_DEFAULT: "ERROR", **_REBUILD},
    "deleted": {_DEFAULT: "DELETED"},
    "soft-delete": {_DEFAULT: "SOFT_DELETED"},
    "shelved": {_DEFAULT: "SHELVED"},
    "shelved_offloaded": {_DEFAULT: "SHELVED_OFFLOADED"},
}
_POWER = {
    0: "NOSTATE",
    1: "Running",
    3: "Paused",
    4: "Shutdown",
    6: "Crashed",
    7: "Suspended",
}


def find_status(vm_state: str | None, task_state: str | None) -> str:
    """Return the status of the API for the two states of Nova's tables."""
    states = STATES.get(vm_state or "", {_DEFAULT: UNKNOWN})
    return states.get(task_state or _DEFAULT, states[_DEFAULT])


def plan_states(statuses: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which vm_state and task_state are asked for where these statuses are.

    As in Nova: where a status is also that of a vm_state alone, no task_state is asked for.

    Raises:
        Invalid: no server has such a status.
    """
    wanted = {one.upper() for one in statuses}
    known = {status for states in STATES.values() for status in states.values()}
    odd = sorted(wanted - known)
    if odd:
        raise errors.Invalid(f"no server has the status {odd[0]}{name_near(odd[0], sorted(known))}")
    pairs = [
        (vm_state, task_state)
        for vm_state, states in STATES.items()
        for task_state, status in states.items()
        if status in wanted
    ]
    tasks = {task for _, task in pairs}
    return (
        tuple(sorted({vm_state for vm_state, _ in pairs})),
        () if _DEFAULT in tasks else tuple(sorted(tasks)),
    )


def _format_time(value: Any) -> str | None:
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    return None


def _of(column: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda values: values.get(column)


def _time_of(column: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda values: _format_time(values.get(column))


def _read_flavor(values: Mapping[str, Any]) -> str | None:
    """Return the name of the flavor that stands with the instance."""
    try:
        current = json.loads(values["flavor"])["cur"]["nova_object.data"]
    except (KeyError, TypeError, ValueError):
        return None
    name = current.get("name") if isinstance(current, dict) else None
    return name if isinstance(name, str) else None


def _read_addresses(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the addresses by network, as Nova has them in its cache."""
    found: dict[str, list[str]] = {}
    try:
        for interface in json.loads(values["network_info"] or "[]"):
            network = interface["network"]
            mine = found.setdefault(network["label"], [])
            for subnet in network["subnets"]:
                for address in subnet["ips"]:
                    mine.append(address["address"])
                    mine += [one["address"] for one in address.get("floating_ips") or ()]
    except (KeyError, TypeError, ValueError, AttributeError):
        return found
    return found


#: Field -> how it is read, and the detail that it needs besides the row of `instances`.
FIELDS: dict[str, tuple[Callable[[Mapping[str, Any]], Any], str]] = {
    "id": (_of("uuid"), ""),
    "name": (_of("display_name"), ""),
    "status": (lambda row: find_status(row.get("vm_state"), row.get("task_state")), ""),
    "vm_state": (_of("vm_state"), ""),
    "task_state": (_of("task_state"), ""),
    "power_state": (lambda row: _POWER.get(row.get("power_state") or 0, UNKNOWN), ""),
    "addresses": (_read_addresses, "network_info"),
    "flavor": (_read_flavor, "flavor"),
    "image": (lambda row: row.get("image_ref") or None, ""),
    "project_id": (_of("project_id"), ""),
    "user_id": (_of("user_id"), ""),
    "host": (_of("host"), ""),
    "node": (_of("node"), ""),
    "hostname": (_of("hostname"), ""),
    "availability_zone": (_of("availability_zone"), ""),
    "key_name": (_of("key_name"), ""),
    "description": (_of("display_description"), ""),
    "locked": (lambda row: bool(row.get("locked")), ""),
    "metadata": (_of("metadata"), "metadata"),
    "tags": (_of("tags"), "tags"),
    "created_at": (_time_of("created_at"), ""),
    "updated_at": (_time_of("updated_at"), ""),
    "launched_at": (_time_of("launched_at"), ""),
    "terminated_at": (_time_of("terminated_at"), ""),
    "deleted_at": (_time_of("deleted_at"), ""),
}
CELL = "cell"
SHOWN = ("id", "name", "status", "project_id", "host", CELL, "created_at")


def plan_fields(texts: Iterable[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the fields that are asked for, and which details they need.

    Raises:
        Invalid: servers have no such field.
    """
    names = tuple(dict.fromkeys(name for text in texts for name in text.split(",") if name))
    names = names or SHOWN
    for name in names:
        if name != CELL and name not in FIELDS:
            near = name_near(name, [*FIELDS, CELL])
            raise errors.Invalid(f"servers have no field {name!r}{near}")
    details = {FIELDS[name][1] for name in names if name != CELL}
    return names, frozenset(details - {""})


def render_row(row: ServerRow, fields: Iterable[str], cells: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a server.

    Args:
        row: of its cell.
        fields: which.
        cells: uuid -> name.
    """
    return {
        name: cells.get(row.cell, row.cell) if name == CELL else FIELDS[name][0](row.values)
        for name in fields
    }


def render_unknown(cell: Cell, mapping: InstanceMapping, fields: Iterable[str]) -> dict[str, Any]:
    """Return the fields of a server whose cell does not answer: what its mapping says.

    Args:
        cell: that does not answer.
        mapping: of the server.
        fields: which.
    """
    known = {
        "id": mapping.uuid,
        "status": UNKNOWN,
        "project_id": mapping.project_id,
        CELL: cell.name,
        "created_at": _format_time(mapping.created_at),
    }
    return {name: known.get(name) for name in fields}
