"""What may be written while the site's tables may be older than OVN's rows. Pure.

A site whose database was restored has yet to hear what came, moved and went since the backup. Its
OVN was right all the time, and servers reach each other by it. So until the site has recovered its
tables count only where they contradict nothing that stands; but for what somebody has told it of
since: that is newer than either. Then they count for what is the site's own; for ports, hypervisors
and routers of other sites once it has heard of these, too.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from isthmus.dataplane.kind.exits.transit_peer import TRANSIT_PEER
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.plan import Plan
from isthmus.dataplane.protocols import Trust
from isthmus.dataplane.row_kind import Change, Desired, Observed, Standing
from isthmus.dataplane.scope import CHASSIS, PORTS, ROUTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """What was found out of the tables in the transaction that read them."""

    trust: Trust
    life: str
    heard: bool = True  #: whether what was told of counts; not where nobody knows how old they are


#: Ids that were told of, by subject of the scope.
Heard = Mapping[str, Collection[str]]


def split(
    plan: Plan, desired: Desired, observed: Observed, heard: Heard, trust: Trust = Trust.NONE
) -> tuple[Plan, Plan]:
    """Split a plan into what may be written now, and what waits until the site's tables count.

    Args:
        plan: what differs.
        desired: what it was made of.
        observed: the same.
        heard: what the site was told of since its tables were restored.
        trust: what the tables count for.
    """
    if trust is Trust.ALL:
        return plan, Plan(())
    standing = Standing(observed)
    known = {**heard, CHASSIS: _list_chassis(desired, heard)}
    now: list[Change] = []
    later: list[Change] = []
    for change in plan.changes:
        may = change.of in known.get(change.about, ()) or change.adds(standing)
        may |= change.is_own and trust is Trust.OWN
        (now if may else later).append(change)
    return Plan(tuple(now)), Plan(tuple(later))


def contradicts(plan: Plan, desired: Desired, observed: Observed) -> bool:
    """Return whether a plan is right only if the tables are as new as OVN's rows.

    Args:
        plan: what is to be written.
        desired: what it was made of.
        observed: the same.
    """
    return bool(split(plan, desired, observed, {})[1])


def _list_chassis(desired: Desired, heard: Heard) -> frozenset[str]:
    """List the hypervisors of ports and routers that the site was told of.

    None of those that they left: what has yet to be heard of may stand there.
    """
    ports, routers = heard.get(PORTS, ()), heard.get(ROUTERS, ())
    found = {one.chassis for one in desired.of(SHADOW_PORT).values() if one.port_id in ports}
    found |= {one.chassis for one in desired.of(TRANSIT_PEER).values() if one.router_id in routers}
    return frozenset(found)
