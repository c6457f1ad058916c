"""Policies of routers by which the replies of a floating IP leave where it is.

The port of such a floating IP, or of a forwarding of one, lives at this site, which leaves by
another exit. Of what a forwarding leads to only the replies of its ports are meant.
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
from isthmus.model.exits.plan import Forwarded, ReturnPolicy, SitePlan

_TABLE, _COLUMN = "Logical_Router_Policy", "policies"
#: Above whatever an operator writes by hand with `ovn-nbctl lr-policy-add ROUTER 100 ...`.
PRIORITY = 1000


@dataclass(frozen=True, slots=True, order=True)
class PolicyRow:
    """A policy of ours."""

    router_id: str
    match: str
    next_hop: str


@dataclass(frozen=True, slots=True)
class PutPolicy(Change):
    """Write a policy."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.return_policy.differs"
    what: ClassVar = "policy for replies missing or different"
    about: ClassVar = ROUTERS
    row: PolicyRow

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
        return f"put policy of router {one.router_id}: {one.match} via {one.next_hop}"

    @override
    def write(self, tables: Tables) -> None:
        found = find_own(tables, self.row.router_id, _COLUMN)
        if found is None:
            return
        router, rows = found
        mine = [row for row in rows if _read_row(row) == self.row]
        row = only(tables, router, _TABLE, _COLUMN, mine)
        row.match, row.nexthops = self.row.match, [self.row.next_hop]
        row.priority, row.action = PRIORITY, "reroute"
        row.external_ids = {EXITS_MARK: self.row.router_id}


@dataclass(frozen=True, slots=True)
class RemovePolicy(Change):
    """Remove a policy."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.return_policy.extra"
    what: ClassVar = "policy for replies too many"
    about: ClassVar = ROUTERS
    row: PolicyRow

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def __str__(self) -> str:
        one = self.row
        return f"remove policy of router {one.router_id}: {one.match} via {one.next_hop}"

    @override
    def write(self, tables: Tables) -> None:
        remove_own(tables, self.row.router_id, _COLUMN, lambda row: _read_row(row) == self.row)


def render_policies(router_id: str, plan: SitePlan) -> Iterator[PolicyRow]:
    """Return the rows of a plan's policies."""
    for policy in plan.policies:
        yield render_policy(router_id, policy)
    for one in plan.forwarded:
        if one.replies is not None:
            yield render_policy(router_id, one.replies, one)


def render_policy(router_id: str, policy: ReturnPolicy, of: Forwarded | None = None) -> PolicyRow:
    """Return the row of a policy; what stays inside goes by the router's own routes.

    Args:
        router_id: the router.
        policy: the policy.
        of: what forwards the ports whose replies alone are meant.
    """
    match = f"ip4.src == {policy.source}"
    if of is not None and of.inside.size == 1:
        match += f" && {of.protocol}.src == {of.inside.first}"
    elif of is not None:
        field = f"{of.protocol}.src"
        match += f" && {field} >= {of.inside.first} && {field} <= {of.inside.last}"
    if policy.inside:
        inside = ", ".join(map(str, policy.inside))
        match += f" && !(ip4.dst == {{{inside}}})"
    if policy.only:
        match += f" && ip4.dst == {{{', '.join(map(str, policy.only))}}}"
    return PolicyRow(router_id, match, str(policy.next_hop))


def _desired(source: Source, scope: Scope, _observed: Observed) -> frozenset[PolicyRow]:
    plans = source.exits(scope.ids(ROUTERS))
    return frozenset(
        row for router_id, plan in plans.items() for row in render_policies(router_id, plan)
    )


def _read(rows: OvnRows, scope: Scope) -> Mapping[PolicyRow, bool]:
    """Read our policies, and whether each is there once and is as it should be."""
    found: dict[PolicyRow, bool] = {}
    for row in list_own(rows, scope, _TABLE, _COLUMN):
        policy = _read_row(row)
        once = policy not in found
        found[policy] = once and row.priority == PRIORITY and row.action == "reroute"
    return found


def _read_row(row: Any) -> PolicyRow:
    return PolicyRow(row.external_ids[EXITS_MARK], row.match, ",".join(sorted(row.nexthops)))


def _list_routers(observed: Observed) -> frozenset[str]:
    """List the routers that have some: what hangs on one is of one time, or waits."""
    return frozenset(one.router_id for one in observed.of(RETURN_POLICY))


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there, routers = observed.of(RETURN_POLICY), observed.of(TRANSIT_NETWORK).routers
    return diff_own(desired.of(RETURN_POLICY), there, routers, PutPolicy, RemovePolicy)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "return_policies": [
            {"router_id": one.router_id, "match": one.match, "next_hop": one.next_hop}
            for one in sorted(observed.of(RETURN_POLICY))
        ]
    }


RETURN_POLICY: Kind[frozenset[PolicyRow], Mapping[PolicyRow, bool]] = Kind(
    name="return_policy",
    without="the floating IP or port does not answer",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
