"""Translations of routers: of floating IPs, and of subnets that Neutron's own do not cover.

All of central's floating IPs whose external network leaves by this site are ours; the site's
Neutron has no floating IP of them. It translates the subnets of the router's interfaces itself.
"""

import collections
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.exits.transit_network import TRANSIT_NETWORK, find_router, list_routers
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.router_rows import find_own, list_own, only, remove_own
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import EXITS_MARK, Capability
from isthmus.model.exits.plan import SitePlan

_TABLE, _COLUMN = "NAT", "nat"
FLOATING, SUBNET = "dnat_and_snat", "snat"


@dataclass(frozen=True, slots=True, order=True)
class ExitNat:
    """A translation."""

    router_id: str
    type: str
    external: str
    internal: str
    #: Where the port's own hypervisor translates: the MAC that answers for the address, the port.
    mac: str = ""
    port_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translations:
    """Our translations in scope, and those of subnets that are not ours."""

    ours: Mapping[ExitNat, bool]  #: whether each is there once
    others: frozenset[tuple[str, str, str]]  #: router, external address, internal network


@dataclass(frozen=True, slots=True)
class PutNat(Change):
    """Write a translation."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.exit_nat.differs"
    what: ClassVar = "translation of addresses missing or different"
    about: ClassVar = ROUTERS
    row: ExitNat

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
        where = f" at port {one.port_id} ({one.mac})" if one.mac else ""
        return f"put {one.type} of router {one.router_id}: {one.external} for {one.internal}{where}"

    @override
    def write(self, tables: Tables) -> None:
        found = find_own(tables, self.row.router_id, _COLUMN)
        if found is None:
            return
        router, rows = found
        mine = [row for row in rows if _key(_read_row(row)) == _key(self.row)]
        row = only(tables, router, _TABLE, _COLUMN, mine)
        row.type = self.row.type
        row.external_ip, row.logical_ip = self.row.external, self.row.internal
        row.external_mac = [self.row.mac] if self.row.mac else []
        row.logical_port = [self.row.port_id] if self.row.port_id else []
        row.external_ids = {EXITS_MARK: self.row.router_id}


@dataclass(frozen=True, slots=True)
class RemoveNat(Change):
    """Remove a translation."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.exit_nat.extra"
    what: ClassVar = "translation of addresses too many"
    about: ClassVar = ROUTERS
    row: ExitNat

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def __str__(self) -> str:
        one = self.row
        return f"remove {one.type} of router {one.router_id}: {one.external} for {one.internal}"

    @override
    def write(self, tables: Tables) -> None:
        remove_own(
            tables, self.row.router_id, _COLUMN, lambda row: _key(_read_row(row)) == _key(self.row)
        )


def render_nats(router_id: str, plan: SitePlan, *, distributed: bool) -> Iterator[ExitNat]:
    """Return the rows of a plan's translations.

    Args:
        router_id: the router.
        plan: what is decided of it here.
        distributed: whether this site has a port's own hypervisor translate, where it is at home.
    """
    for one in plan.floating:
        at_port = distributed and one.at_home and one.mac is not None
        yield ExitNat(
            router_id,
            FLOATING,
            str(one.external),
            str(one.internal),
            mac=one.mac or "" if at_port else "",
            port_id=one.port_id if at_port else "",
        )
    for snat in plan.snats:
        yield ExitNat(router_id, SUBNET, str(snat.external), str(snat.internal))


def _key(one: ExitNat) -> tuple[str, str, str, str]:
    """Return what tells translations apart; where it is done is not of that."""
    return (one.router_id, one.type, one.external, one.internal)


def _desired(source: Source, scope: Scope, _observed: Observed) -> frozenset[ExitNat]:
    distributed = source.translates_at_ports()
    plans = source.exits(scope.ids(ROUTERS))
    return frozenset(
        row
        for router_id, plan in plans.items()
        for row in render_nats(router_id, plan, distributed=distributed)
    )


def _read(rows: OvnRows, scope: Scope) -> Translations:
    found = [_read_row(row) for row in list_own(rows, scope, _TABLE, _COLUMN)]
    times = collections.Counter(map(_key, found))
    others = set()
    for router_id in list_routers(rows, scope):
        router = find_router(rows, router_id)
        if router is None:
            continue
        with rows.nb.lock:
            for row in router.nat:
                if row.type == SUBNET and EXITS_MARK not in row.external_ids:
                    others.add((router_id, row.external_ip, row.logical_ip))
    ours = {one: times[_key(one)] == 1 for one in found}
    return Translations(ours=ours, others=frozenset(others))


def _read_row(row: Any) -> ExitNat:
    return ExitNat(
        row.external_ids[EXITS_MARK],
        row.type,
        row.external_ip,
        row.logical_ip,
        mac=next(iter(row.external_mac), ""),
        port_id=next(iter(row.logical_port), ""),
    )


def _is_covered(one: ExitNat, others: frozenset[tuple[str, str, str]]) -> bool:
    """Tell whether Neutron's own translations do what one of a subnet does."""
    if one.type != SUBNET:
        return False
    inside = ipaddress.IPv4Network(one.internal)
    return any(
        (router_id, external) == (one.router_id, one.external)
        and ":" not in internal
        and inside.subnet_of(ipaddress.IPv4Network(internal))
        for router_id, external, internal in others
    )


def _list_routers(observed: Observed) -> frozenset[str]:
    """List the routers that have some: what hangs on one is of one time, or waits."""
    return frozenset(one.router_id for one in observed.of(EXIT_NAT).ours)


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there = observed.of(EXIT_NAT)
    routers = observed.of(TRANSIT_NETWORK).routers
    wanted = {
        one
        for one in desired.of(EXIT_NAT)
        if one.router_id in routers and not _is_covered(one, there.others)
    }
    for one in sorted(wanted):
        if not there.ours.get(one, False):
            yield PutNat(one)
    stay = set(map(_key, wanted))
    for one in sorted(there.ours):
        if _key(one) not in stay:
            yield RemoveNat(one)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "exit_nats": [
            {
                "router_id": one.router_id,
                "type": one.type,
                "external": one.external,
                "internal": one.internal,
                "port_id": one.port_id,
            }
            for one in sorted(observed.of(EXIT_NAT).ours)
        ]
    }


EXIT_NAT: Kind[frozenset[ExitNat], Translations] = Kind(
    name="exit_nat",
    without="the floating IP does not answer, or what the subnet sends gets no reply",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
