"""Static routes of routers over the transit network: what lies, or leaves, at another site.

A default route by the site's own gateway is Neutron's, which makes it with the gateway.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.exits.transit_network import TRANSIT_NETWORK
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.router_rows import diff_own, find_own, list_own, only, remove_own
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import EXITS_MARK, Capability
from isthmus.model.exits.plan import SitePlan, Way

_TABLE, _COLUMN = "Logical_Router_Static_Route", "static_routes"


@dataclass(frozen=True, slots=True, order=True)
class ExitRoute:
    """A static route of ours."""

    router_id: str
    prefix: str
    next_hop: str


@dataclass(frozen=True, slots=True)
class PutRoute(Change):
    """Write a static route."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.exit_route.differs"
    what: ClassVar = "route to another site missing or different"
    about: ClassVar = ROUTERS
    row: ExitRoute

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def adds(self, standing: Standing) -> bool:
        return self.row.router_id not in standing.look_up(_list_routers)

    @override
    def __str__(self) -> str:
        return (
            f"put route of router {self.row.router_id}: {self.row.prefix} via {self.row.next_hop}"
        )

    @override
    def write(self, tables: Tables) -> None:
        found = find_own(tables, self.row.router_id, _COLUMN)
        if found is None:
            return
        router, rows = found
        mine = [row for row in rows if _read_row(row) == self.row]
        row = only(tables, router, _TABLE, _COLUMN, mine)
        row.ip_prefix, row.nexthop = self.row.prefix, self.row.next_hop
        row.policy, row.output_port = [], []
        row.external_ids = {EXITS_MARK: self.row.router_id}


@dataclass(frozen=True, slots=True)
class RemoveRoute(Change):
    """Remove a static route."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.exit_route.extra"
    what: ClassVar = "route to another site too many"
    about: ClassVar = ROUTERS
    row: ExitRoute

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def __str__(self) -> str:
        one = self.row
        return f"remove route of router {one.router_id}: {one.prefix} via {one.next_hop}"

    @override
    def write(self, tables: Tables) -> None:
        remove_own(tables, self.row.router_id, _COLUMN, lambda row: _read_row(row) == self.row)


def render_routes(router_id: str, plan: SitePlan) -> Iterator[ExitRoute]:
    """Return the rows of a plan's routes over the transit network."""
    for route in plan.routes:
        if route.way is Way.TRANSIT:
            yield ExitRoute(router_id, str(route.destination), str(route.next_hop))


def _desired(source: Source, scope: Scope, _observed: Observed) -> frozenset[ExitRoute]:
    plans = source.exits(scope.ids(ROUTERS))
    return frozenset(row for one, plan in plans.items() for row in render_routes(one, plan))


def _read(rows: OvnRows, scope: Scope) -> Mapping[ExitRoute, bool]:
    """Read our routes, and whether each is there once and is as it should be."""
    found: dict[ExitRoute, bool] = {}
    for row in list_own(rows, scope, _TABLE, _COLUMN):
        route = _read_row(row)
        found[route] = route not in found and not row.policy and not row.output_port
    return found


def _read_row(row: Any) -> ExitRoute:
    return ExitRoute(row.external_ids[EXITS_MARK], row.ip_prefix, row.nexthop)


def _list_routers(observed: Observed) -> frozenset[str]:
    """List the routers that have some: what hangs on one is of one time, or waits."""
    return frozenset(one.router_id for one in observed.of(EXIT_ROUTE))


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there, routers = observed.of(EXIT_ROUTE), observed.of(TRANSIT_NETWORK).routers
    return diff_own(desired.of(EXIT_ROUTE), there, routers, PutRoute, RemoveRoute)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "exit_routes": [
            {"router_id": one.router_id, "destination": one.prefix, "next_hop": one.next_hop}
            for one in sorted(observed.of(EXIT_ROUTE))
        ]
    }


EXIT_ROUTE: Kind[frozenset[ExitRoute], Mapping[ExitRoute, bool]] = Kind(
    name="exit_route",
    without="what leaves, or lies, at the other site is not reached",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
