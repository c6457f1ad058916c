"""Connections to a site's OVN databases: opening them, and hearing of what changes in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.backend.ovs_idl import event as ovs_event
from ovsdbapp.schema.ovn_northbound.impl_idl import OvnNbApiIdlImpl
from ovsdbapp.schema.ovn_southbound.impl_idl import OvnSbApiIdlImpl

from isthmus import errors
from isthmus.clients.ovsdb.database import Database
from isthmus.model.dataplane.ovn import EXITS_MARK, ROUTER_PREFIX, SHADOW_MARK, TRANSIT_MARK


class _UnboundEvent(ovs_event.RowEvent):
    """A remote port of ours that nobody has bound, or that stands on the wrong chassis."""

    GLOBAL = True  #: Neutron hands it to every process: our rows go round its hash ring

    def __init__(self, wake: Callable[[str], None]) -> None:
        super().__init__((self.ROW_CREATE, self.ROW_UPDATE), "Port_Binding", None)
        self._wake = wake

    def match_fn(self, event: str, row: Any, old: Any) -> bool:  # noqa: ARG002
        return (
            row.type == "remote"
            and SHADOW_MARK in row.external_ids
            and (not row.chassis or row.chassis != row.requested_chassis)
        )

    def run(self, event: str, row: Any, old: Any) -> None:  # noqa: ARG002
        self._wake(row.logical_port)


class _MovedEvent(ovs_event.RowEvent):
    """A trunk's subport that another hypervisor has now; Neutron hears of its coming up alone."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        super().__init__((self.ROW_UPDATE,), "Port_Binding", None)
        self._wake = wake

    def match_fn(self, event: str, row: Any, old: Any) -> bool:  # noqa: ARG002
        return bool(row.parent_port) and hasattr(old, "chassis") and old.chassis != row.chassis

    def run(self, event: str, row: Any, old: Any) -> None:  # noqa: ARG002
        self._wake(row.logical_port)


class _UnboundPeerEvent(ovs_event.RowEvent):
    """The port of a router at another site that nobody has bound, or that stands elsewhere."""

    GLOBAL = True

    def __init__(self, wake: Callable[[str], None]) -> None:
        super().__init__((self.ROW_CREATE, self.ROW_UPDATE), "Port_Binding", None)
        self._wake = wake

    def match_fn(self, event: str, row: Any, old: Any) -> bool:  # noqa: ARG002
        return (
            row.type == "remote"
            and TRANSIT_MARK in row.external_ids
            and (not row.chassis or row.chassis != row.requested_chassis)
        )

    def run(self, event: str, row: Any, old: Any) -> None:  # noqa: ARG002
        self._wake(row.external_ids[TRANSIT_MARK])


class _LostEvent(ovs_event.RowEvent):
    """A row of a router's exits that is gone: by us, or with what Neutron writes anew."""

    GLOBAL = True

    def __init__(self, table: str, mark: str, wake: Callable[[str], None]) -> None:
        super().__init__((self.ROW_DELETE,), table, None)
        self._mark = mark
        self._wake = wake

    def match_fn(self, event: str, row: Any, old: Any) -> bool:  # noqa: ARG002
        return self._mark in row.external_ids

    def run(self, event: str, row: Any, old: Any) -> None:  # noqa: ARG002
        self._wake(row.external_ids[self._mark])


class _RouterEvent(ovs_event.RowEvent):
    """A router of Neutron's that has just been made."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        super().__init__((self.ROW_CREATE,), "Logical_Router", None)
        self._wake = wake

    def match_fn(self, event: str, row: Any, old: Any) -> bool:  # noqa: ARG002
        return bool(row.name.startswith(ROUTER_PREFIX))

    def run(self, event: str, row: Any, old: Any) -> None:  # noqa: ARG002
        self._wake(row.name.removeprefix(ROUTER_PREFIX))


class _CreatedEvent(ovs_event.RowEvent):
    """A switch or a port group that has just been made."""

    def __init__(self, table: str, wake: Callable[[str], None]) -> None:
        super().__init__((self.ROW_CREATE,), table, None)
        self._wake = wake

    def run(self, event: str, row: Any, old: Any) -> None:  # noqa: ARG002
        self._wake(row.name)


#: Tables that our own connections leave out: ovs.db.idl 4.0 fails to keep ovsdbapp's index of this
#: one, by datapath, when the datapath's row goes first.
_UNREAD = frozenset({"IP_Multicast"})
#: Tables in which rows of ours bear each mark.
_MARKED_TABLES = {
    SHADOW_MARK: frozenset({"Logical_Switch_Port", "Port_Binding", "Chassis"}),
    TRANSIT_MARK: frozenset(
        {"Logical_Switch", "Logical_Switch_Port", "Logical_Router_Port", "Port_Binding"}
    ),
    EXITS_MARK: frozenset(
        {"Logical_Router_Static_Route", "Logical_Router_Policy", "NAT", "Load_Balancer", "QoS"}
    ),
}


def is_ours(row: Any) -> bool:
    """Tell whether a row is one of a shadow port or of a router's exits."""
    table = row._table.name  # noqa: SLF001  (a row has no other way to say it)
    return any(
        table in tables and mark in row.external_ids for mark, tables in _MARKED_TABLES.items()
    )


def watch(
    nb: Database,
    sb: Database,
    *,
    unbound: Callable[[str], None],
    made: Callable[[str], None],
    moved: Callable[[str], None],
    exits: Callable[[str], None],
) -> None:
    """Register callbacks, called from the connection's own thread when a row of ours needs care.

    Args:
        nb: the northbound database.
        sb: the southbound database.
        unbound: is given the id of a shadow port that has lost, or not yet got, its binding.
        made: is given the name of a switch or port group that has just been made.
        moved: is given the id of a trunk's subport that has come to another hypervisor, or to none.
        exits: is given the id of a router that has just been made, has lost a row of ours, or whose
            port at another site has lost its binding.
    """
    sb.api.idl.notify_handler.watch_events(
        [_UnboundEvent(unbound), _MovedEvent(moved), _UnboundPeerEvent(exits)]
    )
    lost = [(table, mark) for mark in (TRANSIT_MARK, EXITS_MARK) for table in _MARKED_TABLES[mark]]
    nb.api.idl.notify_handler.watch_events(
        [
            _CreatedEvent("Logical_Switch", made),
            _CreatedEvent("Port_Group", made),
            _RouterEvent(exits),
            *(_LostEvent(table, mark, exits) for table, mark in lost if table != "Port_Binding"),
        ]
    )


#: What is read of each database by who only asks whether it lives, by table.
_SIGNS_OF_LIFE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "OVN_Northbound": {"NB_Global": ("nb_cfg", "sb_cfg", "external_ids")},
    "OVN_Southbound": {
        "SB_Global": ("external_ids",),
        "Chassis": ("name", "hostname", "external_ids", "other_config"),
        "Chassis_Private": ("name", "chassis", "nb_cfg", "external_ids"),
    },
}


def connect(
    nb_remote: str, sb_remote: str, timeout_s: float = 60, *, signs_of_life: bool = False
) -> tuple[Database, Database]:
    """Open connections of one's own.

    Args:
        nb_remote: as in "unix:/run/ovn/ovnnb_db.sock" or "tcp:10.0.0.1:6641".
        sb_remote: the same for the southbound database.
        timeout_s: of each transaction.
        signs_of_life: read no more than tells who is alive.

    Returns:
        The northbound database and the southbound.

    Raises:
        Unreachable: a database does not answer; its `away` names each that does not.
    """
    apis: tuple[tuple[str, Any, str], ...] = (
        ("northbound", NbApi, nb_remote),
        ("southbound", SbApi, sb_remote),
    )
    opened: list[Database] = []
    failed: dict[str, Exception] = {}
    for name, api, remote in apis:
        columns = _SIGNS_OF_LIFE[api.schema] if signs_of_life else None
        try:
            opened.append(Database(api(_open(remote, api.schema, timeout_s, columns))))
        except Exception as error:  # noqa: BLE001  (ovsdbapp has nothing narrower)
            failed[f"{name} {remote}"] = error
    if not failed:
        nb, sb = opened
        return nb, sb
    disconnect(*opened)
    said = "; ".join(f"{one} does not answer: {error}" for one, error in failed.items())
    away = [one.partition(" ")[0] for one in failed]
    raise errors.Unreachable(f"OVN database {said}", away=away) from next(iter(failed.values()))


def disconnect(*databases: Database) -> None:
    """Close connections that `connect` opened."""
    for one in databases:
        one.api.ovsdb_connection.stop()
        one.api.ovsdb_connection.idl.notify_handler.shutdown()


class _Idl(connection.OvsdbIdl):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.notify_handler = ovs_event.RowEventHandler()
        super().__init__(*args, **kwargs)

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.notify_handler.notify(event, row, updates)


class _OwnConnection:
    """ovsdbapp keeps one connection for each class; we want one for each object."""

    @property
    def ovsdb_connection(self) -> Any:
        return self._own_connection

    @ovsdb_connection.setter
    def ovsdb_connection(self, value: Any) -> None:
        self._own_connection = value

    @property
    def idl(self) -> Any:
        return self._own_connection.idl

    @property
    def tables(self) -> Any:
        return self.idl.tables

    _tables = tables


class NbApi(_OwnConnection, OvnNbApiIdlImpl):
    """ovsdbapp's API of a northbound database, on a connection of its own."""


class SbApi(_OwnConnection, OvnSbApiIdlImpl):
    """ovsdbapp's API of a southbound database, on a connection of its own."""


def _open(
    remote: str,
    schema: str,
    timeout_s: float,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    helper = idlutils.get_schema_helper(remote, schema)
    if columns is not None:
        for table, names in columns.items():
            helper.register_columns(table, list(names))
        return connection.Connection(_Idl(remote, helper, leader_only=False), timeout=timeout_s)
    tables = sorted(helper.schema_json["tables"].keys() - _UNREAD)
    idl = _Idl.from_server(remote, schema, helper=helper, helper_tables=tables, leader_only=False)
    return connection.Connection(idl, timeout=timeout_s)
