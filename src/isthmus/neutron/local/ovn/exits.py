"""Records what central has decided of a router's exits, and wakes the thread that writes OVN.

A decision is applied when it is in the site's table; its OVN rows follow within moments, also after
a crash or while OVN is away, as those of shadows do.
"""

from collections.abc import Collection
from typing import Any

from isthmus.dataplane.scope import ROUTERS
from isthmus.model.exits.plan import SitePlan
from isthmus.neutron.db.session import writing
from isthmus.neutron.local.ovn.dataplane import get_driver
from isthmus.store.local import exits


def record(context: Any, router_id: str, plan: SitePlan | None) -> set[str]:
    """Record what is decided of a router, or that nothing is.

    Args:
        context: an administrator's, with no transaction open.
        router_id: the router.
        plan: what it has at this site.

    Returns:
        The hypervisors of other sites that were named before, or are now.
    """
    with writing(context) as connection:
        before = exits.list_plans(connection, [router_id]).get(router_id)
        if plan is None:
            exits.forget(connection, router_id)
        elif plan != before:
            exits.record(connection, router_id, plan)
    return _list_chassis(before) | _list_chassis(plan)


def carry_out(router_id: str, chassis: Collection[str] | bool) -> None:
    """Have the rows of a router looked at, and those of hypervisors that it may need or has left.

    Args:
        router_id: the router.
        chassis: names of hypervisors, or True for all.
    """
    reconciler = get_driver().reconciler
    if reconciler is not None:  # else the sweep of a process that has one finds it
        reconciler.wake(chassis=chassis, **{ROUTERS: [router_id]})


def _list_chassis(plan: SitePlan | None) -> set[str]:
    peers = plan.transit.peers if plan is not None and plan.transit is not None else ()
    return {one.hypervisor.chassis for one in peers if one.hypervisor is not None}
