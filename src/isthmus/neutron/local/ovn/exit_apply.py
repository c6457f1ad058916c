"""Records what central has decided of a router's exits, and wakes the thread that writes OVN.

A decision is applied when it is in the site's table; its OVN rows follow within moments, also after
a crash or while OVN is away, as those of shadows do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.dataplane.scope import ROUTERS
from isthmus.model.exits.plan import SitePlan
from isthmus.neutron.db.session import writing
from isthmus.neutron.local.ovn.dataplane import get_driver
from isthmus.store.local import exit_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is to be done once the exits of a router are recorded."""

    routers: frozenset[str]  #: whose rows are to be looked at
    chassis: frozenset[str]  #: hypervisors of other sites that were named before, or are now
    waits_for: str = ""  #: why the router has no transit network yet; empty where it has what it is

    def require_all(self) -> None:
        """Check that all of it could be recorded.

        Raises:
            Stale: the transit network waits for something.
        """
        if self.waits_for:
            raise errors.Stale(self.waits_for)


def record(context: Any, router_id: str, plan: SitePlan | None) -> Recorded:
    """Record what is decided of a router, or that nothing is.

    Args:
        context: an administrator's, with no transaction open.
        router_id: the router.
        plan: what it has at this site.
    """
    found = exit_plan.Recorded()
    with writing(context) as connection:
        before = exit_plan.list_plans(connection, [router_id], latest=True).get(router_id)
        if plan is None:
            exit_plan.forget(connection, router_id)
        elif plan != before:
            found = exit_plan.record(connection, router_id, plan)
    chassis = set().union(*map(_list_chassis, (before, plan, *found.lost.values())))
    return Recorded(
        routers=frozenset({router_id, *found.lost}),
        chassis=frozenset(chassis),
        waits_for=f"router {router_id}: the tunnel key of its transit network is still that of "
        f"network {', '.join(sorted(found.networks))} at this site"
        if found.networks
        else "",
    )


def carry_out(router_ids: Collection[str], chassis: Collection[str] | bool) -> None:
    """Have the rows of routers looked at, and those of hypervisors that they may need or have left.

    Args:
        router_ids: the routers.
        chassis: names of hypervisors, or True for all.
    """
    reconciler = get_driver().reconciler
    if reconciler is not None:  # else the sweep of a process that has one finds it
        reconciler.wake(chassis=chassis, **{ROUTERS: router_ids})


def _list_chassis(plan: SitePlan | None) -> set[str]:
    peers = plan.transit.peers if plan is not None and plan.transit is not None else ()
    return {one.hypervisor.chassis for one in peers if one.hypervisor is not None}
