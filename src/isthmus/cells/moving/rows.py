"""The rows of a host, numbered for another cell, and two copies held against each other. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus import errors
from isthmus.model.compute.host_tables import MOVED, MovedTable
from isthmus.model.compute.move import HostRows, Row
from isthmus.model.form import counted

_SHOWN = 3
#: What is different on purpose while a host moves: table -> columns.
_FENCED: Mapping[str, frozenset[str]] = {
    "services": frozenset({"disabled", "disabled_reason", "forced_down", "updated_at"}),
    "instances": frozenset({"hidden"}),
}


def list_servers(rows: HostRows) -> list[str]:
    """List the uuids of the servers of a host, those that were deleted too."""
    return [one["uuid"] for one in rows["instances"]]


def check_ids(rows: HostRows, taken: Mapping[str, frozenset[int]]) -> None:
    """Check that ids which names derive from are free in the other cell.

    Args:
        rows: of the host.
        taken: table -> ids that are in use in the other cell.

    Raises:
        Conflict: one is not.
    """
    for table in MOVED:
        if not table.keeps_id:
            continue
        same = sorted(one["id"] for one in rows[table.name] if one["id"] in taken[table.name])
        if same:
            raise errors.Conflict(
                f"{counted(len(same), 'row')} of {table.name} would need another id in that cell "
                f"({', '.join(map(str, same[:_SHOWN]))}): names derive from it (--renumber takes "
                "new ones)"
            )


def renumber(rows: HostRows, next_ids: Mapping[str, int], *, keep: bool = True) -> HostRows:
    """Return rows with ids that are free in another cell, hidden until they are what counts.

    Args:
        rows: of the host.
        next_ids: table -> the first id of many that are free.
        keep: whether the ids that names derive from stay.
    """
    ids: dict[str, dict[int, int]] = {}
    found: HostRows = {}
    for table in MOVED:
        ids[table.name] = {}
        found[table.name] = []
        for turn, row in enumerate(rows[table.name]):
            new = dict(row)
            if "id" in row:
                kept = keep and table.keeps_id
                new["id"] = row["id"] if kept else next_ids[table.name] + turn
                ids[table.name][row["id"]] = new["id"]
                if row.get("deleted"):  # Nova marks a row as deleted with its own id
                    new["deleted"] = new["id"]
            for column, other in table.refers:
                new[column] = ids[other].get(row[column])
            if table.name == "instances":
                new["hidden"] = True
            found[table.name].append(new)
    return found


def diff_copies(first: HostRows, second: HostRows) -> list[str]:
    """Return the tables whose rows differ in more than their numbers."""
    return [table.name for table in MOVED if _normalise(table, first) != _normalise(table, second)]


def _normalise(table: MovedTable, rows: HostRows) -> Counter[tuple[Any, ...]]:
    names = {
        other: {row["id"]: _name(other, row) for row in rows[other]} for _, other in table.refers
    }
    dropped = {"id"} | _FENCED.get(table.name, frozenset())
    found: Counter[tuple[Any, ...]] = Counter()
    for row in rows[table.name]:
        plain = {key: value for key, value in row.items() if key not in dropped}
        if "deleted" in plain:
            plain["deleted"] = bool(plain["deleted"])
        for column, other in table.refers:
            plain[column] = names[other].get(row[column])
        found[tuple(sorted((key, repr(value)) for key, value in plain.items()))] += 1
    return found


def _name(table: str, row: Row) -> str:
    """Return what tells a row of others without its id."""
    if table == "instance_actions":
        return f"{row['instance_uuid']} {row['request_id']} {row['action']} {row['start_time']}"
    return str(row["uuid"])


def check_idle(rows: HostRows, open_moves: Sequence[str]) -> None:
    """Check that nothing goes on with the servers of a host.

    Args:
        rows: of the host.
        open_moves: uuids of servers with a migration from or to it that has not ended.

    Raises:
        InUse: something does.
    """
    busy = [
        f"{one['uuid']} ({one['task_state']})"
        for one in rows["instances"]
        if not one["deleted"] and one["task_state"]
    ]
    busy += [f"{one} (a migration)" for one in open_moves]
    if busy:
        raise errors.InUse(
            f"{counted(len(busy), 'server')} of the host is in the middle of something: "
            f"{', '.join(busy[:_SHOWN])}: wait for that"
        )
