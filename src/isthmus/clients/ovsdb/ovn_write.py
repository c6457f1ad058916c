"""Writing the rows of a plan into a site's OVN databases.

Rows go out in transactions of up to 1,000: with one a row, northd would run once for each. Where
the server refuses a transaction it is halved until the row it dislikes stands alone, so that one
bad row keeps no other from being written. Where it does not get through with one in time, the next
is half as large (`Pace`), and after each that is written twice as large again. Every write is
idempotent.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ovsdbapp import exceptions as ovs_errors
from ovsdbapp.backend.ovs_idl import command, idlutils
from typing_extensions import override

from isthmus import errors
from isthmus.clients.ovsdb.ovn import (
    CHASSIS_OPTION,
    KEY_OPTION,
    REMOTE_FLAG,
    RESPONDER_MARK,
    RESPONDER_PORT_MARK,
    SHADOW_MARK,
    SITE_MARK,
    SWITCH_PREFIX,
    OvnRows,
    name_router,
    ra_settings,
)
from isthmus.model.dataplane.ovn import Plan, RemoteChassis, RemotePort, Responder

_LOG = logging.getLogger(__name__)

#: Rows a transaction; measured: 1,000 switch ports take 50 ms (research of 2026-11-22).
BATCH_ROWS = 1000

#: Changes one row (and what hangs on it) within a transaction.
_Write = Callable[[Any, Any], None]


class _Writes(command.BaseCommand):
    def __init__(self, api: Any, writes: Sequence[_Write]) -> None:
        super().__init__(api)
        self._writes = writes

    def run_idl(self, txn: Any) -> None:
        for write in self._writes:
            write(self.api, txn)

    @override
    def __str__(self) -> str:
        return f"{len(self._writes)} rows"


@dataclass(slots=True)
class Pace:
    """How many rows a database gets through with in one transaction, as far as is known.

    Kept from one plan to the next: a timed-out transaction may have been written after all, so one
    looks again before the rest is tried.
    """

    rows: int = BATCH_ROWS
    overtaxed: bool = False  #: the last transaction was of one row, and timed out

    def written(self) -> None:
        """Record a success: write larger batches."""
        self.rows = min(BATCH_ROWS, self.rows * 2)
        self.overtaxed = False

    def timed_out(self, size: int) -> bool:
        """Halve the batch; return whether to skip what timed out: one row, the first to do so."""
        self.rows = max(1, size // 2)
        alone = size == 1 and not self.overtaxed
        self.overtaxed = size == 1
        return alone


@dataclass(frozen=True, slots=True)
class Paces:
    """Those of a site's two databases; whoever writes again and again keeps it."""

    nb: Pace
    sb: Pace

    @staticmethod
    def start() -> "Paces":
        """Begin at full pace."""
        return Paces(Pace(), Pace())


def apply_plan(rows: OvnRows, plan: Plan, paces: Paces | None = None) -> list[str]:
    """Write a plan: southbound chassis, then northbound rows, then bindings, then what goes.

    Returns:
        One sentence for each row that the server refused, or alone did not get through with; the
        rest is written.

    Raises:
        TimedOut: a database did not answer in time; some of the plan may be written, and what is
            tried next is half as large.
    """
    paces = paces or Paces.start()
    refused = _commit(rows.sb, [_put_chassis(row) for row in plan.put_chassis], paces.sb)
    northbound: list[_Write] = []
    northbound += [_remove_responder(row) for row in plan.remove_responders]
    northbound += [_remove_port(*one) for one in plan.remove_ports]
    northbound += [_set_switch_key(*one) for one in plan.set_switch_keys]
    northbound += [_set_port_key(*one) for one in plan.set_port_keys]
    northbound += [_put_port(row) for row in plan.put_ports]
    northbound += [_join_group(*one) for one in plan.join_groups]
    northbound += [_leave_group(*one) for one in plan.leave_groups]
    northbound += [_put_responder(row) for row in plan.put_responders]
    refused += _commit(rows.nb, northbound, paces.nb)
    southbound = [_bind(*one) for one in plan.bind]
    southbound += [_remove_chassis(name) for name in plan.remove_chassis]
    return refused + _commit(rows.sb, southbound, paces.sb)


def _commit(api: Any, writes: Sequence[_Write], pace: Pace) -> list[str]:
    refused: list[str] = []
    start = 0
    while start < len(writes):
        batch = writes[start : start + pace.rows]
        refused += _commit_batch(api, batch, pace)
        start += len(batch)
    return refused


def _commit_batch(api: Any, writes: Sequence[_Write], pace: Pace) -> list[str]:
    try:
        with api.transaction(check_error=True, log_errors=False) as txn:
            txn.add(_Writes(api, writes))
    except ovs_errors.TimeoutException as error:
        return _timed_out(writes, pace, error)
    except (RuntimeError, idlutils.RowNotFound) as error:
        if "timed out" in str(error):
            return _timed_out(writes, pace, error)
        if len(writes) == 1:
            _LOG.warning("OVN refused a row: %s", error)
            return [f"OVN refused a row: {error}"]
        half = len(writes) // 2
        return _commit_batch(api, writes[:half], pace) + _commit_batch(api, writes[half:], pace)
    pace.written()
    return []


def _timed_out(writes: Sequence[_Write], pace: Pace, error: Exception) -> list[str]:
    if pace.timed_out(len(writes)):
        _LOG.warning("OVN did not get through with one row; the others go on: %s", error)
        return [f"OVN did not get through with one row in time: {error}"]
    raise errors.TimedOut(
        f"an OVN database did not get through with {len(writes)} rows in time; "
        f"the next transaction has {pace.rows}: {error}"
    ) from error


def _find(api: Any, table: str, name: str, column: str = "name") -> Any:
    return idlutils.row_by_value(api.idl, table, column, name, None)


def _put_chassis(wanted: RemoteChassis) -> _Write:
    def write(api: Any, txn: Any) -> None:
        row = _find(api, "Chassis", wanted.name)
        if row is None:
            row = txn.insert(api.tables["Chassis"])
            row.name = wanted.name
        row.hostname = wanted.hostname
        row.external_ids = {SHADOW_MARK: "yes", SITE_MARK: wanted.site}
        row.other_config = {REMOTE_FLAG: "true"}
        encaps = [one for one in getattr(row, "encaps", []) if one.type == "geneve"][:1]
        encap = encaps[0] if encaps else txn.insert(api.tables["Encap"])
        encap.type = "geneve"
        encap.ip = wanted.encap_ip
        encap.chassis_name = wanted.name
        encap.options = {"csum": "true"}
        row.encaps = [encap]

    return write


def _remove_chassis(name: str) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        row = _find(api, "Chassis", name)
        if row is not None and SHADOW_MARK in row.external_ids:
            row.delete()

    return write


def _put_port(wanted: RemotePort) -> _Write:
    def write(api: Any, txn: Any) -> None:
        switch = _find(api, "Logical_Switch", SWITCH_PREFIX + wanted.network_id)
        row = _find(api, "Logical_Switch_Port", wanted.port_id)
        if switch is None or (row is not None and SHADOW_MARK not in row.external_ids):
            return  # gone, or taken by Neutron, since we looked: the next comparison decides
        if row is None:
            row = txn.insert(api.tables["Logical_Switch_Port"])
            row.name = wanted.port_id
        switch.addvalue("ports", row)
        row.type = "remote"
        row.options = {KEY_OPTION: str(wanted.port_key), CHASSIS_OPTION: wanted.chassis}
        row.addresses = sorted(wanted.addresses)
        row.enabled = wanted.enabled
        row.port_security = []
        row.external_ids = {SHADOW_MARK: wanted.network_id, SITE_MARK: wanted.site}

    return write


def _remove_port(network_id: str, port_id: str) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        row = _find(api, "Logical_Switch_Port", port_id)
        if row is not None and SHADOW_MARK in row.external_ids:
            _drop_switch_port(api, network_id, row)

    return write


def _drop_switch_port(api: Any, network_id: str, row: Any) -> None:
    switch = _find(api, "Logical_Switch", SWITCH_PREFIX + network_id)
    if switch is not None:
        switch.delvalue("ports", row)
    row.delete()


def _join_group(group: str, port_id: str) -> _Write:
    return _change_group(group, port_id, "addvalue")


def _leave_group(group: str, port_id: str) -> _Write:
    return _change_group(group, port_id, "delvalue")


def _change_group(group: str, port_id: str, change: str) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        row = _find(api, "Port_Group", group)
        port = _find(api, "Logical_Switch_Port", port_id)
        if row is not None and port is not None:
            getattr(row, change)("ports", port)

    return write


def _set_switch_key(network_id: str, key: int) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        row = _find(api, "Logical_Switch", SWITCH_PREFIX + network_id)
        if row is not None:
            row.setkey("other_config", KEY_OPTION, str(key))

    return write


def _set_port_key(port_id: str, key: int) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        row = _find(api, "Logical_Switch_Port", port_id)
        if row is not None:
            row.setkey("options", KEY_OPTION, str(key))

    return write


def _bind(port_id: str, chassis: str) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        row = _find(api, "Port_Binding", port_id, "logical_port")
        where = _find(api, "Chassis", chassis)
        if row is not None and where is not None and row.type == "remote":
            row.chassis = [where]

    return write


def _put_responder(wanted: Responder) -> _Write:
    def write(api: Any, txn: Any) -> None:
        switch = _find(api, "Logical_Switch", SWITCH_PREFIX + wanted.key.network_id)
        if switch is None:
            return
        router = _find(api, "Logical_Router", name_router(wanted.key))
        if router is None:
            router = txn.insert(api.tables["Logical_Router"])
            router.name = name_router(wanted.key)
        router.external_ids = {
            RESPONDER_MARK: f"{wanted.key.network_id}/{wanted.key.mode.value}",
            RESPONDER_PORT_MARK: wanted.port_id,
        }
        port = _find(api, "Logical_Router_Port", f"isthmus-ra-{wanted.port_id}")
        if port is None:
            port = txn.insert(api.tables["Logical_Router_Port"])
            port.name = f"isthmus-ra-{wanted.port_id}"
        port.mac = wanted.mac
        port.networks = sorted(wanted.networks)
        port.ipv6_ra_configs = {**ra_settings(wanted.key), "mtu": str(wanted.mtu)}
        router.ports = [port]
        peer = _find(api, "Logical_Switch_Port", wanted.port_id)
        if peer is None:
            peer = txn.insert(api.tables["Logical_Switch_Port"])
            peer.name = wanted.port_id
        peer.type = "router"
        peer.options = {"router-port": port.name, KEY_OPTION: str(wanted.port_key)}
        peer.addresses = ["router"]
        peer.external_ids = {RESPONDER_MARK: wanted.key.network_id}
        switch.addvalue("ports", peer)

    return write


def _remove_responder(wanted: Responder) -> _Write:
    def write(api: Any, txn: Any) -> None:  # noqa: ARG001
        router = _find(api, "Logical_Router", name_router(wanted.key))
        if router is not None:
            router.delete()
        peer = _find(api, "Logical_Switch_Port", wanted.port_id)
        if peer is not None and RESPONDER_MARK in peer.external_ids:
            _drop_switch_port(api, wanted.key.network_id, peer)

    return write
