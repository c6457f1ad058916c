"""Servers of a cloud as its cells have them, and which of them are asked for."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column to sort by; NULL is less than every value."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFilters:
    """Which servers are meant, in the words of Nova's tables; empty fields do not filter."""

    project_id: str = ""
    user_id: str = ""
    host: str = ""
    image_ref: str = ""
    flavor_id: int | None = None  #: `instance_type_id`
    vm_states: tuple[str, ...] = ()
    task_states: tuple[str, ...] = ()
    locked: bool | None = None
    patterns: Mapping[str, str] = field(default_factory=dict)  #: column -> regular expression
    tags: tuple[str, ...] = ()  #: all of them
    changes_since: datetime.datetime | None = None
    changes_before: datetime.datetime | None = None
    deleted: bool | None = False  #: None: both

    @property
    def narrows(self) -> bool:
        """Tell whether it asks for more than a project, which mappings know too."""
        return self != ServerFilters(project_id=self.project_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerQuery:
    """What each cell is asked."""

    order: tuple[SortKey, ...]
    filters: ServerFilters = field(default_factory=ServerFilters)
    after: tuple[Any, ...] | None = None  #: values of the sort columns of the last one seen
    details: frozenset[str] = frozenset()  #: of `DETAILS` and `API_DETAILS`


#: What is read from other tables than `instances`.
DETAILS = frozenset({"metadata", "flavor", "network_info", "tags"})
#: What Nova's API shows besides.
API_DETAILS = frozenset(
    {"system_metadata", "trusted_certs", "user_data", "services", "faults", "volumes"}
)


@dataclass(slots=True)
class ServerRow:
    """One row of `instances`, with the values that it is sorted by."""

    cell: str  #: uuid of the cell
    rank: tuple[Any, ...]  #: sorts as the database sorts, for each sort column
    values: dict[str, Any]  #: by column, and by detail


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMapping:
    """What the API database says of a server."""

    uuid: str
    project_id: str
    cell: str  #: uuid of the cell; empty while the scheduler has not chosen one
    created_at: datetime.datetime | None = None
