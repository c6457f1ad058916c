"""The order of servers over cells: Nova's own, with its ties broken.

Source:
    nova.compute.instance_list 34.0.0: `InstanceSortContext`;
    nova.api.openstack.compute.schemas.servers: `VALID_SORT_KEYS_V275`.
"""

import functools
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from isthmus import errors
from isthmus.model.compute.server import ServerRow, SortKey
from isthmus.model.form import name_near

SORT_COLUMNS = frozenset(
    {
        "access_ip_v4",
        "access_ip_v6",
        "auto_disk_config",
        "availability_zone",
        "config_drive",
        "created_at",
        "display_description",
        "display_name",
        "host",
        "hostname",
        "image_ref",
        "instance_type_id",
        "kernel_id",
        "key_name",
        "launch_index",
        "launched_at",
        "locked",
        "locked_by",
        "node",
        "power_state",
        "progress",
        "project_id",
        "ramdisk_id",
        "root_device_name",
        "task_state",
        "terminated_at",
        "updated_at",
        "user_id",
        "uuid",
        "vm_state",
    }
)
#: What people call columns.
ALIASES = {"id": "uuid", "name": "display_name", "created": "created_at", "updated": "updated_at"}
_DEFAULT = (SortKey("created_at", descending=True), SortKey("id", descending=True))


def plan_order(texts: Sequence[str]) -> tuple[SortKey, ...]:
    """Return the order for sort keys such as display_name or created_at:desc.

    Without any it is Nova's: the newest first. The uuid comes last, so that no two are equal.

    Raises:
        Invalid: nothing is sorted by that.
    """
    keys = [_parse(one) for one in texts] or list(_DEFAULT)
    if all(one.column != "uuid" for one in keys):
        keys.append(SortKey("uuid"))
    return tuple(keys)


def _parse(text: str) -> SortKey:
    name, _, direction = text.partition(":")
    column = ALIASES.get(name, name)
    if column not in SORT_COLUMNS:
        raise errors.Invalid(
            f"servers are not sorted by {name!r}{name_near(name, sorted(SORT_COLUMNS))}"
        )
    if direction not in {"", "asc", "desc"}:
        raise errors.Invalid(f"{text!r}: a sort direction is asc or desc")
    return SortKey(column, descending=direction == "desc")


@functools.total_ordering
class _Descending:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    def __lt__(self, other: "_Descending") -> bool:
        return bool(other.value < self.value)

    @override
    def __hash__(self) -> int:
        return hash(self.value)


def rank_row(row: ServerRow, order: Sequence[SortKey]) -> tuple[Any, ...]:
    """Return what sorts a row among those of other cells; NULL comes before every value."""
    ranked = []
    for one, value in zip(order, row.rank, strict=True):
        known = (0,) if value is None else (1, value)
        ranked.append(_Descending(known) if one.descending else known)
    return tuple(ranked)
