"""What central has decided of the exits of routers, as a site keeps it."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.exits.plan import SitePlan
from isthmus.model.exits.plan_form import from_form, to_form
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName
from isthmus.store.ports import datapath
from isthmus.store.sql.tables import EXIT_HYPERVISORS, EXITS
from isthmus.store.sql.upsert import insert_or_update

#: Ids in one IN (...).
_CHUNK = 500


def record(connection: sa.Connection, router_id: str, plan: SitePlan) -> None:
    """Record what is decided of a router, in place of what was before.

    Raises:
        Stale: a network, or another router, still has the key of its transit network here.
    """
    names = ("plan", "datapath_key")
    put = insert_or_update(connection, EXITS, lambda new: {one: new[one] for one in names})
    text = json.dumps(to_form(plan), sort_keys=True)
    key = plan.transit.datapath_key if plan.transit is not None else None
    connection.execute(put.values(router_id=router_id, plan=text, datapath_key=key))
    if key is not None:
        holders = sorted(datapath.find_holders(connection, key) - {router_id})
        if holders:
            raise errors.Stale(
                f"router {router_id}: the tunnel key {key} of its transit network is still that of "
                f"network {', '.join(holders)} at this site"
            )
        require_free(connection, router_id, key)
    connection.execute(sa.delete(EXIT_HYPERVISORS).where(EXIT_HYPERVISORS.c.router_id == router_id))
    rows = [
        {
            "router_id": router_id,
            "site": peer.site,
            "chassis": peer.hypervisor.chassis,
            "hostname": peer.hypervisor.hostname,
            "encap_ip": peer.hypervisor.encap_ip,
        }
        for peer in (plan.transit.peers if plan.transit is not None else ())
        if peer.hypervisor is not None
    ]
    if rows:
        connection.execute(sa.insert(EXIT_HYPERVISORS), rows)


def require_free(connection: sa.Connection, owner: str, key: int) -> None:
    """Check that no transit network of another router has a tunnel key here.

    A central that was restored may have forgotten it, and have given the key out again. Both sides
    write before they look, so that of two at once one sees the other.

    Raises:
        Stale: one has it, until the site has heard what became of that router.
    """
    query = sa.select(EXITS.c.router_id).where(
        EXITS.c.datapath_key == key, EXITS.c.router_id != owner
    )
    others = sorted(connection.scalars(query.with_for_update(read=True)))
    if others:
        raise errors.Stale(
            f"{owner}: its tunnel key {key} is still that of the transit network of router "
            f"{', '.join(others)} at this site"
        )


def forget(connection: sa.Connection, router_id: str) -> None:
    """Forget what was decided of a router; idempotent."""
    for table in (EXITS, EXIT_HYPERVISORS):
        connection.execute(sa.delete(table).where(table.c.router_id == router_id))


def list_plans(
    connection: sa.Connection, router_ids: Collection[str] | None = None
) -> dict[str, SitePlan]:
    """List what is decided, by router; with None, of all there are."""
    return {one: from_form(form) for one, form in list_forms(connection, router_ids).items()}


def list_forms(
    connection: sa.Connection, router_ids: Collection[str] | None = None
) -> dict[str, Mapping[str, Any]]:
    """List what is decided, by router, in the form in which it is sent."""
    query = sa.select(EXITS.c.router_id, EXITS.c.plan)
    if router_ids is None:
        return {row.router_id: json.loads(row.plan) for row in connection.execute(query)}
    wanted = sorted(router_ids)
    found = {}
    for start in range(0, len(wanted), _CHUNK):
        some = query.where(EXITS.c.router_id.in_(wanted[start : start + _CHUNK]))
        found.update({row.router_id: json.loads(row.plan) for row in connection.execute(some)})
    return found


def list_hypervisors(
    connection: sa.Connection, names: Collection[str] | None = None
) -> list[tuple[SiteName, Hypervisor]]:
    """List the hypervisors of other sites by which routers are reached there, each once.

    Args:
        connection: of the transaction.
        names: of chassis; None for all.
    """
    columns = [EXIT_HYPERVISORS.c[name] for name in ("site", "chassis", "hostname", "encap_ip")]
    query = sa.select(*columns).distinct().order_by(*columns)
    if names is not None:
        query = query.where(EXIT_HYPERVISORS.c.chassis.in_(sorted(names)))
    return [
        (
            SiteName(row.site),
            Hypervisor(chassis=row.chassis, hostname=row.hostname, encap_ip=row.encap_ip),
        )
        for row in connection.execute(query)
    ]
