"""A site's OVN databases in memory, and a northd of a few lines.

The tables are those of OVN's schemas, as the copies that Neutron brings along have them: columns
with their defaults, unique indexes, weak and strong references. ovsdbapp's API runs on them, so
what is tested on top is the product's own reading, its commands, ovsdbapp's, and the halving of
what is refused. `tests/ports/test_row_kinds.py` holds them to the same contract as the real
databases.
"""

import importlib.util
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from typing_extensions import override

from isthmus.clients.ovsdb.database import Database
from isthmus.clients.ovsdb.ovn_connection import NbApi, SbApi
from isthmus.dataplane.reconcile import Events
from isthmus.dataplane.rows import OvnRows
from isthmus.model.dataplane.ovn import CHASSIS_OPTION, KEY_OPTION, SHADOW_MARK

#: What the northd says that it is: one that binds no remote port, and one that does.
OLD_NORTHD = "23.03.1-20.27.0-70.6"
NEW_NORTHD = "25.03.0-20.41.0-78.8"

_SCALARS: dict[str, Any] = {"string": "", "integer": 0, "real": 0.0, "boolean": False, "uuid": None}


class _Column:
    """A column of a schema."""

    def __init__(self, name: str, spec: Any) -> None:
        self.name = name
        form = {"key": spec["type"]} if isinstance(spec["type"], str) else spec["type"]
        ends = [end if isinstance(end, dict) else {"type": end} for end in _ends(form)]
        self.is_map = len(ends) == 2
        self.is_list = not self.is_map and (form.get("min", 1), form.get("max", 1)) != (1, 1)
        self.default = _SCALARS[ends[0]["type"]]
        self.refers_to = next((end["refTable"] for end in ends if "refTable" in end), None)
        self.is_weak = any(end.get("refType") == "weak" for end in ends)

    def normal(self, value: Any) -> Any:
        """Return a value as ovs.db.idl gives it back."""
        if self.is_map:
            return dict(value)
        if self.is_list:
            return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        return value

    def rows(self, value: Any) -> list["Row"]:
        """Return the rows that a value refers to."""
        values = value.values() if self.is_map else value if self.is_list else [value]
        return [one for one in values if isinstance(one, Row)]


def _ends(form: dict[str, Any]) -> list[Any]:
    return [form["key"], *([form["value"]] if "value" in form else [])]


class Row:
    """A row, with the methods of ovs.db.idl's that commands use."""

    def __init__(self, table: "Table") -> None:
        here = {
            "uuid": uuid4(),
            "_table": table,
            "values": {
                one.name: {} if one.is_map else [] if one.is_list else one.default
                for one in table.columns.values()
            },
        }
        self.__dict__.update(here)
        table.rows[self.uuid] = self

    uuid: UUID
    values: dict[str, Any]

    def __getattr__(self, column: str) -> Any:
        try:
            return self.__dict__["values"][column]
        except KeyError:
            raise AttributeError(column) from None

    @override
    def __setattr__(self, column: str, value: Any) -> None:
        self.values[column] = self._table.columns[column].normal(self._table.resolve(value))

    def addvalue(self, column: str, value: Any) -> None:
        """Add a value to a set."""
        added = self._table.resolve(value)
        if added not in self.values[column]:
            self.values[column] = [*self.values[column], added]

    def delvalue(self, column: str, value: Any) -> None:
        """Remove a value from a set."""
        gone = self._table.resolve(value)
        self.values[column] = [one for one in self.values[column] if one != gone]

    def setkey(self, column: str, key: str, value: str) -> None:
        """Set one key of a map."""
        self.values[column] = {**self.values[column], key: value}

    def increment(self, column: str) -> None:
        """Count a column up by one."""
        self.values[column] += 1

    def verify(self, column: str) -> None:
        """Do nothing: one transaction runs at a time, and sees all that were before it."""

    def delete(self) -> None:
        """Remove the row."""
        self._table.rows.pop(self.uuid, None)


class _Rows(dict[UUID, Row]):
    """The rows of a table; ovsdbapp asks for indexes, and does without."""

    indexes: dict[str, Any] = {}  # noqa: RUF012  (nobody writes it)


class Table:
    """A table of a schema."""

    def __init__(self, name: str, spec: Any, tables: Mapping[str, "Table"]) -> None:
        """Start empty, beside the other tables of the database."""
        self.name = name
        self._tables = tables
        self.columns = {column: _Column(column, one) for column, one in spec["columns"].items()}
        self.indexes = [[self.columns[one] for one in index] for index in spec.get("indexes", ())]
        self.is_root = bool(spec.get("isRoot"))
        self.rows = _Rows()

    def resolve(self, value: Any) -> Any:
        """Return a row for its UUID, as ovsdbapp's commands refer to rows."""
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if not isinstance(value, UUID):
            return value
        return next(table.rows[value] for table in self._tables.values() if value in table.rows)


class _Idl:
    def __init__(self, tables: dict[str, Table]) -> None:
        self.tables = tables

    def insert(self, table: Table) -> Row:
        return Row(table)

    def save(self) -> dict[str, dict[UUID, tuple[Row, dict[str, Any]]]]:
        return {
            name: {key: (row, dict(row.values)) for key, row in table.rows.items()}
            for name, table in self.tables.items()
        }

    def restore(self, saved: dict[str, dict[UUID, tuple[Row, dict[str, Any]]]]) -> None:
        for name, rows in saved.items():
            table = self.tables[name]
            table.rows.clear()
            for key, (row, values) in rows.items():
                row.__dict__["values"] = values
                table.rows[key] = row

    def check(self) -> None:
        """Do what the server does before it commits.

        Raises:
            RuntimeError: an index or a strong reference is violated.
        """
        while self._collect_garbage():
            pass
        for table in self.tables.values():
            for index in table.indexes:
                seen = set()
                for row in table.rows.values():
                    value = tuple(str(row.values[column.name]) for column in index)
                    if value in seen:
                        names = ", ".join(column.name for column in index)
                        raise RuntimeError(
                            f'constraint violation: two rows of "{table.name}" have {value} in '
                            f"{names}"
                        )
                    seen.add(value)

    def _collect_garbage(self) -> bool:
        held = set()
        for table in self.tables.values():
            for row in list(table.rows.values()):
                for column in table.columns.values():
                    if column.refers_to is None:
                        continue
                    value = row.values[column.name]
                    alive = self.tables[column.refers_to].rows
                    lost = [one for one in column.rows(value) if one.uuid not in alive]
                    if lost and not column.is_weak:
                        raise RuntimeError(
                            f'referential integrity violation: {column.name} of a "{table.name}"'
                        )
                    for one in lost:
                        row.delvalue(column.name, one)
                    if not column.is_weak:
                        held |= {one.uuid for one in column.rows(row.values[column.name])}
        gone = [
            row
            for table in self.tables.values()
            if not table.is_root
            for row in table.rows.values()
            if row.uuid not in held
        ]
        for row in gone:
            row.delete()
        return bool(gone)


class _Connection:
    """Stands for ovsdbapp's: runs a transaction where the real one queues it."""

    timeout = 10

    def __init__(self, idl: _Idl, committed: Callable[[], None]) -> None:
        self.idl = idl
        self.lock = threading.RLock()
        self.late = 0  #: transactions that are to time out from now on
        self.transactions = 0  #: that were written
        self._committed = committed

    def queue_txn(self, txn: Any) -> None:
        with self.lock:
            if self.late:
                self.late -= 1
                raise RuntimeError("OVS transaction timed out")
            saved = self.idl.save()
            try:
                for command in txn.commands:
                    command.run_idl(self.idl)
                self.idl.check()
            except Exception:
                self.idl.restore(saved)
                raise
            self.transactions += 1
        txn.results.put([])
        self._committed()


class MemoryOvn:
    """Northbound and southbound database of one site."""

    def __init__(self, northd: str = NEW_NORTHD) -> None:
        """Start empty.

        Args:
            northd: its version.
        """
        tables = {name: read_schema(name) for name in ("nb", "sb")}
        self._nb, self._sb = _Idl(tables["nb"]), _Idl(tables["sb"])
        self.nb_connection = _Connection(self._nb, self._run_northd)
        self.sb_connection = _Connection(self._sb, self._run_northd)
        self._northd = northd
        self._watchers: list[Events] = []
        self._announced: set[UUID] = set()
        self._bound: dict[UUID, tuple[UUID, ...]] = {}
        self.rows = OvnRows(
            Database(NbApi(self.nb_connection, start=False, auto_index=False)),
            Database(SbApi(self.sb_connection, start=False, auto_index=False)),
        )
        Row(tables["nb"]["NB_Global"]).options = {"northd_internal_version": northd}

    def connect(self, events: Events) -> OvnRows:
        """Return the databases, and tell of events from now on."""
        self._watchers.append(events)
        return self.rows

    def change(self, table: str, name: str, **columns: Any) -> None:
        """Change a row from outside, as another client does."""
        southbound = table in ("Chassis", "Port_Binding")
        connection = self.sb_connection if southbound else self.nb_connection
        key = "logical_port" if table == "Port_Binding" else "name"
        with connection.lock:
            (row,) = _where(connection.idl.tables[table], key, name)
            for column, value in columns.items():
                setattr(row, column, value)
        self._run_northd()

    def _run_northd(self) -> None:
        with self.nb_connection.lock, self.sb_connection.lock:
            datapaths = {}
            for table in ("Logical_Switch", "Logical_Router"):
                for row in self._nb.tables[table].rows.values():
                    asked = row.other_config if table == "Logical_Switch" else row.options
                    datapaths[row.name] = self._give_datapath(row.name, asked)
            for row in list(self._sb.tables["Datapath_Binding"].rows.values()):
                if row.external_ids["name"] not in datapaths:
                    row.delete()
            ports = {
                port.name: (port, datapaths[switch.name])
                for switch in self._nb.tables["Logical_Switch"].rows.values()
                for port in switch.ports
            }
            for row in list(self._sb.tables["Port_Binding"].rows.values()):
                if row.logical_port not in ports:
                    row.delete()
            for name, (port, datapath) in ports.items():
                self._give_binding(name, port, datapath)
            news = list(self._list_news())
        for tell, name in news:
            for events in self._watchers:
                tell(events)(name)

    def _give_datapath(self, name: str, asked: Any) -> Row:
        table = self._sb.tables["Datapath_Binding"]
        found = [row for row in table.rows.values() if row.external_ids["name"] == name]
        row = found[0] if found else Row(table)
        row.external_ids = {"name": name}
        row.tunnel_key = _choose_key(table, row, asked, lambda _other: True)
        return row

    def _give_binding(self, name: str, port: Row, datapath: Row) -> None:
        table = self._sb.tables["Port_Binding"]
        found = _where(table, "logical_port", name)
        row = found[0] if found else Row(table)
        row.logical_port, row.datapath = name, datapath
        row.type, row.external_ids = port.type, port.external_ids
        row.tunnel_key = _choose_key(
            table, row, port.options, lambda other: other.datapath is datapath
        )
        asked = port.options.get(CHASSIS_OPTION, "")
        row.requested_chassis = _where(self._sb.tables["Chassis"], "name", asked)
        if self._northd == NEW_NORTHD and port.type == "remote":
            row.chassis = row.requested_chassis

    def _list_news(self) -> Iterator[tuple[Callable[[Events], Callable[[str], None]], str]]:
        for table in ("Logical_Switch", "Port_Group"):
            for row in self._nb.tables[table].rows.values():
                if row.uuid not in self._announced:
                    self._announced.add(row.uuid)
                    yield (lambda events: events.made), row.name
        for row in self._sb.tables["Port_Binding"].rows.values():
            if row.type != "remote" or SHADOW_MARK not in row.external_ids:
                continue
            stands = tuple(one.uuid for one in row.chassis)
            if self._bound.get(row.uuid) != stands and row.chassis != row.requested_chassis:
                yield (lambda events: events.unbound), row.logical_port
            self._bound[row.uuid] = stands


def _choose_key(table: Table, row: Row, asked: Any, beside: Callable[[Row], bool]) -> int:
    """Choose the tunnel key that a row asks for or, if another has it, the least that is free."""
    taken = {one.tunnel_key for one in table.rows.values() if one is not row and beside(one)}
    wanted = int(asked.get(KEY_OPTION, row.tunnel_key))
    if wanted and wanted not in taken:
        return wanted
    return next(key for key in range(1, len(taken) + 2) if key not in taken)


def _where(table: Table, column: str, value: Any) -> list[Row]:
    return [row for row in table.rows.values() if row.values[column] == value]


def read_schema(name: str) -> dict[str, Table]:
    """Read the empty tables of a schema, "nb" or "sb"."""
    spec = importlib.util.find_spec("neutron")
    if spec is None or spec.origin is None:
        raise LookupError("Neutron, which brings OVN's schemas along, is not installed")
    folder = "tests/unit/plugins/ml2/drivers/ovn/mech_driver/ovsdb/schemas"
    text = (Path(spec.origin).parent / folder / f"ovn-{name}.ovsschema").read_text()
    tables: dict[str, Table] = {}
    for table, one in json.loads(text)["tables"].items():
        tables[table] = Table(table, one, tables)
    return tables
