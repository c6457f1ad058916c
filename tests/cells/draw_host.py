"""Cells with hosts by dice: every table that a host has rows in, and those of others beside it."""

import datetime
import random
import uuid
from typing import Any

import sqlalchemy as sa

from isthmus.model.compute.host_tables import MOVED, By
from isthmus.model.compute.move import HostRows

LONG_AGO = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - as Nova has times
#: Columns of a server that mean something to a move.
_PLAIN: dict[str, dict[str, Any]] = {
    "instances": {"task_state": None, "hidden": False, "vm_state": "active", "locked_by": None},
    "services": {
        "binary": "nova-compute",
        "topic": "compute",
        "last_seen_up": LONG_AGO,
        "disabled": False,
        "disabled_reason": None,
        "forced_down": False,
    },
    "migrations": {"status": "completed", "source_compute": "elsewhere", "dest_compute": "other"},
    "compute_nodes": {"hypervisor_hostname": "node"},
}


class Drawing:
    """Draws rows for the tables of a cell."""

    def __init__(self, connection: sa.Connection, seed: int) -> None:
        """Reflect the tables of Nova."""
        self.dice = random.Random(seed)
        self._connection = connection
        self._metadata = sa.MetaData()

    def table(self, name: str) -> sa.Table:
        """Return a table as the database has it."""
        return sa.Table(name, self._metadata, autoload_with=self._connection, resolve_fks=False)

    def draw_host(self, host: str, first: int, servers: int) -> HostRows:
        """Draw all rows of a host; its ids begin with `first`."""
        rows: HostRows = {}
        for one in MOVED:
            counts = {By.HOST: 1, By.SERVER: 2, By.NODE: 3, By.ACTION: 2}
            parents: list[Any] = {
                By.HOST: [host],
                By.SERVER: [row["uuid"] for row in rows.get("instances", [])],
                By.NODE: [row["id"] for row in rows.get("compute_nodes", [])],
                By.ACTION: [row["id"] for row in rows.get("instance_actions", [])],
            }[one.by]
            count = servers if one.name == "instances" else counts[one.by]
            if one.name in {"instance_info_caches", "instance_extra", "instance_id_mappings"}:
                count = 1
            rows[one.name] = []
            for parent in parents:
                for _ in range(count):
                    row = self._draw(one.name, first + len(rows[one.name]))
                    row[one.column] = parent
                    for column, other in one.refers:
                        if column != one.column and rows[other] and self.dice.random() < 0.8:
                            row[column] = self.dice.choice(rows[other])["id"]
                    rows[one.name].append(row)
        return rows

    def _draw(self, name: str, number: int) -> dict[str, Any]:
        row: dict[str, Any] = {}
        refers = {column for one in MOVED if one.name == name for column, _ in one.refers}
        for column in self.table(name).c:
            row[column.name] = None if column.name in refers else self._draw_value(column, number)
        row |= _PLAIN.get(name, {})
        if "deleted" in row:
            gone = name not in {"services", "compute_nodes"} and self.dice.random() < 0.2
            row["deleted"] = number if gone else 0
        return row

    def _draw_value(self, column: "sa.Column[Any]", number: int) -> Any:
        name, kind = column.name, column.type
        if name == "id":
            return number
        if name.endswith("uuid"):
            return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        if column.nullable and self.dice.random() < 0.2:
            return None
        if isinstance(kind, sa.Enum):
            return self.dice.choice(kind.enums)
        if isinstance(kind, sa.DateTime):
            return LONG_AGO + datetime.timedelta(seconds=self.dice.randint(0, 9999))
        length = min(getattr(kind, "length", None) or 40, 40)
        text = f"{number}-{self.dice.getrandbits(64)}-ż"[:length]
        return text if kind.python_type is str else self.dice.randint(0, 1)

    def insert(self, rows: HostRows) -> None:
        """Insert what was drawn."""
        for one in MOVED:
            if rows[one.name]:
                self._connection.execute(self.table(one.name).insert(), rows[one.name])


def dump(url: str) -> dict[str, list[str]]:
    """Return all rows of a database."""
    engine = sa.create_engine(url)
    found = {}
    with engine.begin() as connection:
        for name in sorted(sa.inspect(connection).get_table_names()):
            rows = connection.exec_driver_sql(f"SELECT * FROM `{name}`").all()
            if rows:
                found[name] = sorted(map(repr, rows))
    engine.dispose()
    return found
