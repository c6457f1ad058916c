"""Load balancers of port forwardings: one for each floating IP and protocol that has any.

As ML2/OVN's own they are on the router, where it answers for the floating IP, and on the switches
of the networks that it joins, so that servers of this site are answered, too. One is told by its
name, which has the router in it: a floating IP may forward for another router while rows of the
first one are still there. Nothing in OVN makes the name unique: who writes one verifies and adds to
what is to refer to it, so that of two at once the second is done again, and finds it.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.exits.transit_network import find_router, list_routers
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import (
    EXITS_MARK,
    FORWARD_MARK,
    FORWARD_PREFIX,
    ROUTER_PREFIX,
    Capability,
)
from isthmus.model.exits.plan import Forwarded, SitePlan

_TABLE, _COLUMN = "Load_Balancer", "load_balancer"
_ROUTER, _SWITCH = "Logical_Router", "Logical_Switch"
#: What Neutron says of a router's port: its network's switch, and whether it is a gateway.
_NETWORK, _IS_GATEWAY = "neutron:network_name", "neutron:is_ext_gw"

#: A table and the name of a row in it.
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True, order=True)
class Forward:
    """What should be forwarded, wherever the router is."""

    router_id: str
    floating_ip_id: str
    protocol: str
    vips: tuple[tuple[str, str], ...]  #: "<address>:<port>" of the floating IP, and of the server
    answers: bool  #: whether the router here answers for the floating IP


@dataclass(frozen=True, slots=True, order=True)
class ForwardRow:
    """A load balancer."""

    name: str  #: by which load balancers are told apart
    router_id: str
    floating_ip_id: str
    protocol: str
    vips: tuple[tuple[str, str], ...]
    places: tuple[_Place, ...]  #: what refers to it, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwards:
    """Our load balancers in scope, and where some could be."""

    ours: Mapping[ForwardRow, bool]  #: whether each is there once
    switches: Mapping[str, frozenset[str]]  #: of the networks that each router joins, by router


@dataclass(frozen=True, slots=True)
class PutForward(Change):
    """Write a load balancer, and what refers to it."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.forward.differs"
    what: ClassVar = "port forwarding missing or different"
    about: ClassVar = ROUTERS
    row: ForwardRow
    leaves: tuple[_Place, ...] = ()  #: what refers to it and should not
    anew: bool = False  #: there are several of it

    @property
    @override
    def subject(self) -> str:
        return self.row.floating_ip_id

    @property
    @override
    def of(self) -> str:
        return self.row.router_id

    @override
    def adds(self, standing: Standing) -> bool:
        return self.row.router_id not in standing.look_up(_list_routers)

    @override
    def __str__(self) -> str:
        one = self.row
        vips = ", ".join(f"{outside} to {inside}" for outside, inside in one.vips)
        on = ", ".join(name for _, name in one.places)
        return f"put {one.protocol} ports of router {one.router_id}: {vips} on {on}"

    @override
    def write(self, tables: Tables) -> None:
        wanted = self.row
        found = [(one, tables.find(*one)) for one in wanted.places]
        places = [place for _, place in found if place is not None]
        if not places:
            return
        places[0].verify(_COLUMN)
        if self.anew:
            _remove_all(tables, wanted.name)
        row = tables.find(_TABLE, wanted.name)
        if row is None:
            row = tables.insert(_TABLE)
            row.name = wanted.name
        elif EXITS_MARK not in row.external_ids:
            return
        row.protocol = [wanted.protocol]
        row.vips = dict(wanted.vips)
        row.external_ids = {EXITS_MARK: wanted.router_id, FORWARD_MARK: wanted.floating_ip_id}
        for place in places:
            place.addvalue(_COLUMN, row)
        for one in self.leaves:
            place = tables.find(*one)
            if place is not None:
                place.delvalue(_COLUMN, row)


@dataclass(frozen=True, slots=True)
class RemoveForward(Change):
    """Remove a load balancer; what refers to it then refers to nothing."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.forward.extra"
    what: ClassVar = "port forwarding too many"
    about: ClassVar = ROUTERS
    name: str
    router_id: str
    floating_ip_id: str

    @property
    @override
    def subject(self) -> str:
        return self.floating_ip_id

    @property
    @override
    def of(self) -> str:
        return self.router_id

    @override
    def __str__(self) -> str:
        return f"remove {self.name} of router {self.router_id}: ports of a floating IP"

    @override
    def write(self, tables: Tables) -> None:
        _remove_all(tables, self.name)


def place_forward(one: Forward, places: Iterable[_Place]) -> ForwardRow:
    """Return the row of what is to be forwarded, on these routers and switches."""
    return ForwardRow(
        f"{FORWARD_PREFIX}{one.router_id}-{one.floating_ip_id}-{one.protocol}",
        one.router_id,
        one.floating_ip_id,
        one.protocol,
        one.vips,
        tuple(sorted(places)),
    )


def render_forwards(router_id: str, plan: SitePlan) -> Iterator[Forward]:
    """Return what a plan forwards, by floating IP and protocol."""
    together: dict[tuple[str, str, bool], list[Forwarded]] = {}
    for one in plan.forwarded:
        together.setdefault((one.floating_ip_id, one.protocol.value, one.answers), []).append(one)
    for (floating_ip_id, protocol, answers), some in together.items():
        vips = sorted(vip for one in some for vip in _list_vips(one))
        yield Forward(router_id, floating_ip_id, protocol, tuple(vips), answers)


def _list_vips(one: Forwarded) -> Iterator[tuple[str, str]]:
    step = 1 if one.inside.size > 1 else 0  # each to its own port, or all to one
    for number in range(one.outside.size):
        outside, inside = one.outside.first + number, one.inside.first + number * step
        yield f"{one.external}:{outside}", f"{one.internal}:{inside}"


def _remove_all(tables: Tables, name: str) -> None:
    """Remove those of a name, until one is found that somebody has taken from us."""
    while (row := tables.find(_TABLE, name)) is not None and EXITS_MARK in row.external_ids:
        row.delete()


def _desired(source: Source, scope: Scope, _observed: Observed) -> frozenset[Forward]:
    plans = source.exits(scope.ids(ROUTERS))
    return frozenset(
        one for router_id, plan in plans.items() for one in render_forwards(router_id, plan)
    )


def _read(rows: OvnRows, scope: Scope) -> Forwards:
    ids = scope.ids(ROUTERS)
    if ids is not None and not ids:
        return Forwards(ours={}, switches={})
    ours = [
        row
        for row in rows.nb.rows(_TABLE)
        if EXITS_MARK in row.external_ids and (ids is None or row.external_ids[EXITS_MARK] in ids)
    ]
    places = _read_places(rows) if ours else {}
    read = [_read_row(row, tuple(sorted(places.get(row.uuid, ())))) for row in ours]
    times = collections.Counter(one.name for one in read)
    return Forwards(
        ours={one: times[one.name] == 1 for one in read},
        switches={one: _list_switches(rows, one) for one in list_routers(rows, scope)},
    )


def _read_places(rows: OvnRows) -> dict[Any, list[_Place]]:
    """Read what refers to load balancers, by their UUIDs."""
    found: dict[Any, list[_Place]] = {}
    for table in (_ROUTER, _SWITCH):
        for row in rows.nb.rows(table):
            for one in row.load_balancer:
                found.setdefault(one.uuid, []).append((table, row.name))
    return found


def _read_row(row: Any, places: tuple[_Place, ...]) -> ForwardRow:
    return ForwardRow(
        row.name,
        row.external_ids[EXITS_MARK],
        row.external_ids.get(FORWARD_MARK, ""),
        next(iter(row.protocol), ""),
        tuple(sorted(row.vips.items())),
        places,
    )


def _list_switches(rows: OvnRows, router_id: str) -> frozenset[str]:
    """List the switches of the networks that a router joins; its gateway's is none of them."""
    router = find_router(rows, router_id)
    if router is None:
        return frozenset()
    with rows.nb.lock:
        said = [port.external_ids for port in router.ports]
    names = {
        one[_NETWORK]
        for one in said
        if _NETWORK in one and one.get(_IS_GATEWAY, "").lower() != "true"
    }
    return frozenset(one for one in names if rows.nb.find(_SWITCH, one) is not None)


def _list_routers(observed: Observed) -> frozenset[str]:
    """List the routers that have some: what hangs on one is of one time, or waits."""
    return frozenset(one.router_id for one in observed.of(FORWARD).ours)


def _choose(desired: Desired, there: Forwards) -> Iterator[ForwardRow]:
    """Say where what is desired can be: on routers that are there, and the switches they join."""
    for one in desired.of(FORWARD):
        if one.router_id not in there.switches:
            continue
        on_router = [(_ROUTER, ROUTER_PREFIX + one.router_id)] if one.answers else []
        on_switches = [(_SWITCH, name) for name in there.switches[one.router_id]]
        if places := on_router + on_switches:
            yield place_forward(one, places)


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there = observed.of(FORWARD)
    have: dict[str, list[ForwardRow]] = {}
    for row in there.ours:
        have.setdefault(row.name, []).append(row)
    wanted = {row.name: row for row in _choose(desired, there)}
    for name, row in sorted(wanted.items()):
        found = have.get(name, [])
        once = all(there.ours[one] for one in found)
        if found != [row] or not once:
            leaves = {place for one in found for place in one.places} - set(row.places)
            yield PutForward(row, tuple(sorted(leaves)), anew=not once)
    for name in sorted(have.keys() - wanted.keys()):
        one = have[name][0]
        yield RemoveForward(name, one.router_id, one.floating_ip_id)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "forwards": [
            {
                "router_id": one.router_id,
                "floating_ip_id": one.floating_ip_id,
                "protocol": one.protocol,
                "vips": [f"{outside} {inside}" for outside, inside in one.vips],
                "on": [name for _, name in one.places],
            }
            for one in sorted(observed.of(FORWARD).ours)
        ]
    }


FORWARD: Kind[frozenset[Forward], Forwards] = Kind(
    name="forward",
    without="forwarded ports do not answer, outside or at this site",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
