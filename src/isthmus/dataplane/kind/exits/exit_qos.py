"""Limits of floating IPs: rows as ML2/OVN writes them, on the switch of the external network.

The site's Neutron has no floating IP of central's, so it limits none. The policy of a router's
gateway it carries out itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.exits.transit_network import TRANSIT_NETWORK
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.router_rows import diff_own
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import EXITS_MARK, NETWORK_MARK, SWITCH_PREFIX, Capability
from isthmus.model.exits.plan import FloatingLimit, SitePlan
from isthmus.model.exits.request import Direction

_TABLE, _COLUMN = "QoS", "qos_rules"
#: Source: OVN_QOS_FIP_RULE_PRIORITY of ML2/OVN (ovsdb/extensions/qos.py).
PRIORITY = 2003
#: Source: ovn_cr_lrouter_port_name in neutron/common/ovn/utils.py.
_GATEWAY_PORT = "cr-lrp-"
#: How OVN names the direction, and the port and the address that a packet has to have.
_WORDS: Mapping[Direction, tuple[str, str, str]] = {
    Direction.EGRESS: ("from-lport", "inport", "src"),
    Direction.INGRESS: ("to-lport", "outport", "dst"),
}


@dataclass(frozen=True, slots=True, order=True)
class QosRow:
    """A limit of ours."""

    router_id: str
    network_id: str
    direction: str
    match: str
    bandwidth: tuple[tuple[str, int], ...]
    action: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PutLimit(Change):
    """Write a limit."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.exit_qos.differs"
    what: ClassVar = "limit of a floating IP missing or different"
    about: ClassVar = ROUTERS
    row: QosRow

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def adds(self, standing: Standing) -> bool:
        return self.row.router_id not in standing.look_up(_list_routers)

    @override
    def __str__(self) -> str:
        one = self.row
        says = ", ".join(f"{name} {value}" for name, value in (*one.bandwidth, *one.action))
        return f"put limit of router {one.router_id}: {one.direction} {one.match}: {says}"

    @override
    def write(self, tables: Tables) -> None:
        found = _find_own(tables, self.row)
        if found is None:
            return
        switch, rows = found
        mine = [row for row in rows if _key(_read_row(row)) == _key(self.row)]
        for row in mine[1:]:
            switch.delvalue(_COLUMN, row)
            row.delete()
        if mine:
            row = mine[0]
        else:
            row = tables.insert(_TABLE)
            switch.addvalue(_COLUMN, row)
        row.priority, row.direction, row.match = PRIORITY, self.row.direction, self.row.match
        row.bandwidth, row.action = dict(self.row.bandwidth), dict(self.row.action)
        row.external_ids = {EXITS_MARK: self.row.router_id, NETWORK_MARK: self.row.network_id}


@dataclass(frozen=True, slots=True)
class RemoveLimit(Change):
    """Remove a limit."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.exit_qos.extra"
    what: ClassVar = "limit of a floating IP too many"
    about: ClassVar = ROUTERS
    row: QosRow

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def __str__(self) -> str:
        one = self.row
        return f"remove limit of router {one.router_id}: {one.direction} {one.match}"

    @override
    def write(self, tables: Tables) -> None:
        found = _find_own(tables, self.row)
        if found is None:
            return
        switch, rows = found
        for row in rows:
            if _read_row(row) == self.row:
                switch.delvalue(_COLUMN, row)
                row.delete()


def _find_own(tables: Tables, one: QosRow) -> tuple[Any, list[Any]] | None:
    """Find the switch of a limit, and those of ours on it; None where the switch is gone."""
    switch = tables.find("Logical_Switch", SWITCH_PREFIX + one.network_id)
    if switch is None:
        return None
    switch.verify(_COLUMN)
    rows = [
        row for row in getattr(switch, _COLUMN) if row.external_ids.get(EXITS_MARK) == one.router_id
    ]
    return switch, rows


def render_limits(router_id: str, plan: SitePlan, *, distributed: bool) -> Iterator[QosRow]:
    """Return the rows of a plan's limits.

    Args:
        router_id: the router.
        plan: what is decided of it here.
        distributed: whether this site has a port's own hypervisor translate, where it is at home.
    """
    for one in plan.limits:
        for limit in one.limits:
            direction, port, address = _WORDS[limit.direction]
            rates = (("rate", limit.max_kbps), ("burst", limit.burst_kbps))
            marks = (("dscp", limit.dscp),)
            yield QosRow(
                router_id,
                one.network_id,
                direction,
                f'{port} == "{one.gateway_port_id}" && ip4.{address} == {one.external} && '
                f'is_chassis_resident("{_where(one, distributed=distributed)}")',
                bandwidth=_said(rates) if limit.max_kbps is not None else (),
                action=_said(marks),
            )


def _where(one: FloatingLimit, *, distributed: bool) -> str:
    """Return the port on whose hypervisor packets of a floating IP are translated."""
    return one.port_id if distributed and one.port_id else _GATEWAY_PORT + one.gateway_port_id


def _said(values: tuple[tuple[str, int | None], ...]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, value) for name, value in values if value is not None))


def _key(one: QosRow) -> tuple[str, str, str, str]:
    """Return what tells limits apart; how much they limit is not of that."""
    return (one.router_id, one.network_id, one.direction, one.match)


def _desired(source: Source, scope: Scope, _observed: Observed) -> frozenset[QosRow]:
    distributed = source.translates_at_ports()
    plans = source.exits(scope.ids(ROUTERS))
    return frozenset(
        row
        for router_id, plan in plans.items()
        for row in render_limits(router_id, plan, distributed=distributed)
    )


def _read(rows: OvnRows, scope: Scope) -> Mapping[QosRow, bool]:
    """Read our limits, and whether each is there once and is as it should be."""
    ids = scope.ids(ROUTERS)
    found: dict[QosRow, bool] = {}
    for row in rows.nb.rows(_TABLE):
        router_id = row.external_ids.get(EXITS_MARK)
        if router_id is None or (ids is not None and router_id not in ids):
            continue
        limit = _read_row(row)
        found[limit] = limit not in found and row.priority == PRIORITY
    return found


def _read_row(row: Any) -> QosRow:
    return QosRow(
        row.external_ids[EXITS_MARK],
        row.external_ids.get(NETWORK_MARK, ""),
        row.direction,
        row.match,
        bandwidth=tuple(sorted(row.bandwidth.items())),
        action=tuple(sorted(row.action.items())),
    )


def _list_routers(observed: Observed) -> frozenset[str]:
    """List the routers that have some: what hangs on one is of one time, or waits."""
    return frozenset(one.router_id for one in observed.of(EXIT_QOS))


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there, routers = observed.of(EXIT_QOS), observed.of(TRANSIT_NETWORK).routers
    wanted = {_key(one) for one in desired.of(EXIT_QOS) if one.router_id in routers}
    for change in diff_own(desired.of(EXIT_QOS), there, routers, PutLimit, RemoveLimit):
        # One of which only the rate is another is written over, not beside.
        if not isinstance(change, RemoveLimit) or _key(change.row) not in wanted:
            yield change


def _list_holdings(observed: Observed) -> Parts:
    return {
        "exit_limits": [
            {
                "router_id": one.router_id,
                "network_id": one.network_id,
                "direction": one.direction,
                "match": one.match,
                "says": dict((*one.bandwidth, *one.action)),
            }
            for one in sorted(observed.of(EXIT_QOS))
        ]
    }


EXIT_QOS: Kind[frozenset[QosRow], Mapping[QosRow, bool]] = Kind(
    name="exit_qos",
    without="the floating IP is not limited, or by another rate",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
