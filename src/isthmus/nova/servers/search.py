"""What a request for servers asks for, in the words of our list.

Source:
    nova 34.0.0: `nova.compute.api.API.get_all`,
    `nova.db.main.api.instance_get_all_by_filters_sort`.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.cells.servers.order import SORT_COLUMNS
from isthmus.model.compute.server import ServerFilters, SortKey

#: Filters that match as they stand, and what they are called here.
_EXACT = {
    "project_id": "project_id",
    "user_id": "user_id",
    "host": "host",
    "image_ref": "image_ref",
}
#: Filters that are regular expressions.
_PATTERNS = frozenset({"display_name", "node", "availability_zone", "hostname", "key_name"})
_STATES = {"vm_state": "vm_states", "task_state": "task_states"}


def plan_filters(options: Mapping[str, Any]) -> ServerFilters | None:
    """Return the filters for search options of Nova's, None where Nova itself has to answer."""
    fields: dict[str, Any] = {"deleted": None, "patterns": {}}
    for name, value in options.items():
        if name == "instance_type_id" and isinstance(value, int):
            fields["flavor_id"] = value
        elif name in {"deleted", "locked"} and isinstance(value, bool):
            fields[name] = value
        elif name in _EXACT and isinstance(value, str) and value:
            fields[_EXACT[name]] = value
        elif name in _PATTERNS and isinstance(value, str) and value:
            fields["patterns"][name] = value
        elif name in _STATES and value:
            fields[_STATES[name]] = (value,) if isinstance(value, str) else tuple(value)
        elif name == "tags" and value and all(value):
            fields["tags"] = tuple(value)
        elif name in {"changes-since", "changes-before"} and value:
            fields[name.replace("-", "_")] = value.astimezone(datetime.UTC).replace(tzinfo=None)
        else:
            return None
    return ServerFilters(**fields)


def plan_keys(keys: Sequence[str], directions: Sequence[str]) -> tuple[SortKey, ...] | None:
    """Return the order for sort keys, None where Nova itself has to answer.

    Where there are fewer directions than keys, Nova's cells and its merge sort differently.
    """
    if len(keys) != len(directions) or not SORT_COLUMNS.issuperset(keys):
        return None
    if not {"asc", "desc"}.issuperset(directions):
        return None
    order = [
        SortKey(key, descending=direction == "desc")
        for key, direction in zip(keys, directions, strict=True)
    ]
    if "uuid" not in keys:
        order.append(SortKey("uuid"))
    return tuple(order)
