"""What central has decided of the exits of routers, as a site keeps it."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.exits.plan import SitePlan, without_transit
from isthmus.model.exits.plan_form import from_form, to_form
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName
from isthmus.store.ports import datapath
from isthmus.store.sql.tables import EXIT_HYPERVISORS, EXITS
from isthmus.store.sql.upsert import insert_or_update

#: Ids in one IN (...).
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of others when the exits of a router were recorded."""

    #: What routers had that have lost their transit networks: the key of it is another one's now.
    lost: Mapping[str, SitePlan] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()  #: those that still have the key; the router waits


def record(connection: sa.Connection, router_id: str, plan: SitePlan) -> Recorded:
    """Record what is decided of a router, in place of what was before.

    Central gives a key to one at a time, and what it says here is newer than all that it has said.
    So another router that has the key of this one's transit network has lost it: until the site
    hears which one that router has now, it goes without. Otherwise two whose keys were exchanged
    would wait for each other. A network never loses its key; the router waits until it is gone.
    """
    _put(connection, router_id, plan)
    if plan.transit is None:
        return Recorded()
    key = plan.transit.datapath_key
    networks = frozenset(datapath.find_holders(connection, key) - {router_id})
    if networks:
        _put(connection, router_id, without_transit(plan))
        return Recorded(networks=networks)
    lost = {}
    for other in _find_holders(connection, key, router_id):
        lost[other] = list_plans(connection, [other], latest=True)[other]
        _put(connection, other, without_transit(lost[other]))
    return Recorded(lost=lost)


def _put(connection: sa.Connection, router_id: str, plan: SitePlan) -> None:
    names = ("plan", "datapath_key")
    put = insert_or_update(connection, EXITS, lambda new: {one: new[one] for one in names})
    text = json.dumps(to_form(plan), sort_keys=True)
    key = plan.transit.datapath_key if plan.transit is not None else None
    connection.execute(put.values(router_id=router_id, plan=text, datapath_key=key))
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


def record_network_key(connection: sa.Connection, network_id: str, key: int) -> None:
    """Record the tunnel key that central allocated to a network; idempotent.

    A central that was restored may have forgotten that the transit network of a router has it, and
    have given it out again. Both sides write before they look, so that of two at once one sees the
    other.

    Args:
        connection: of the transaction.
        network_id: the network.
        key: its key.

    Raises:
        Stale: another network has it here, or the transit network of a router, until the site has
            heard what became of that.
    """
    datapath.record(connection, network_id, key)
    others = _find_holders(connection, key, network_id)
    if others:
        raise errors.Stale(
            f"{network_id}: its tunnel key {key} is still that of the transit network of router "
            f"{', '.join(others)} at this site"
        )


def _find_holders(connection: sa.Connection, key: int, owner: str) -> list[str]:
    query = sa.select(EXITS.c.router_id).where(
        EXITS.c.datapath_key == key, EXITS.c.router_id != owner
    )
    return sorted(connection.scalars(query.with_for_update()))


def forget(connection: sa.Connection, router_id: str) -> None:
    """Forget what was decided of a router; idempotent."""
    for table in (EXITS, EXIT_HYPERVISORS):
        connection.execute(sa.delete(table).where(table.c.router_id == router_id))


def list_plans(
    connection: sa.Connection, router_ids: Collection[str] | None = None, *, latest: bool = False
) -> dict[str, SitePlan]:
    """List what is decided, by router; with None, of all there are; `latest`: by a locking read."""
    found = list_forms(connection, router_ids, latest=latest)
    return {one: from_form(form) for one, form in found.items()}


def list_forms(
    connection: sa.Connection, router_ids: Collection[str] | None = None, *, latest: bool = False
) -> dict[str, Mapping[str, Any]]:
    """List what is decided, by router, in the form in which it is sent; see `list_plans`."""
    query = sa.select(EXITS.c.router_id, EXITS.c.plan)
    if latest:
        query = query.with_for_update()
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
