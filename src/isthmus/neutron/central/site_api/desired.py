"""Desired states: what is wanted of objects at a site now. Xjob reads them when it delivers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context

from isthmus import errors
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.leases import at_site
from isthmus.neutron.central.resource.registry import ROWS
from isthmus.neutron.central.resource.row import States
from isthmus.neutron.central.site_api import state
from isthmus.neutron.db.session import reading, writing
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import recall
from isthmus.store.ports import home, location
from isthmus.store.tiers import mapping

Key = tuple[ResourceType, str]


def parse_keys(body: Any) -> list[Key]:
    """Parse the keys of desired states.

    Raises:
        Invalid: they are malformed.
    """
    try:
        return [(ResourceType(one["type"]), str(one["id"])) for one in body]
    except (KeyError, TypeError, ValueError) as error:
        raise errors.Invalid("keys must be a list of {type, id}") from error


def read_desired(site: SiteName, keys: Sequence[Key]) -> list[Item]:
    """Read what a site should have of each object: its state, or that it should not exist.

    Raises:
        NotFound: there is no such site.
    """
    by_kind: dict[ResourceType, list[str]] = {}
    for kind, resource_id in keys:
        by_kind.setdefault(kind, []).append(resource_id)
    states = {kind: _read(kind, site, ids) for kind, ids in by_kind.items()}
    crash.point("central.desired.read")
    away = _standing([one for kind, one in keys if kind is ResourceType.PORT])
    return [
        Item(
            kind,
            resource_id,
            state := states[kind].get(resource_id),
            withdrawn=state is None and kind is ResourceType.PORT and resource_id in away,
        )
        for kind, resource_id in keys
    ]


def _standing(port_ids: Sequence[str]) -> set[str]:
    """Return which ports exist: a site that is to remove one may still refuse."""
    if not port_ids:
        return set()
    port = models_v2.Port
    with reading(n_context.get_admin_context()) as connection:
        return set(connection.scalars(sa.select(port.id).where(port.id.in_(port_ids))))


def _mapped(kind: ResourceType, site: SiteName, ids: Iterable[str]) -> set[str]:
    with reading(n_context.get_admin_context()) as connection:
        return mapping.peek_ids(connection, kind, site, list(ids))


def _read(kind: ResourceType, site: SiteName, ids: Sequence[str]) -> States:
    """Read which objects of one type should be at a site, and their states.

    What a site lacks of their pools is leased to it first.
    """
    ours = _OURS.get(kind)
    if ours is not None:
        return ours(site, ids)
    row = ROWS[kind]
    states = row.read(_mapped(kind, site, ids), site)
    if row.settle is not None and states:
        states = row.settle(site, states)
    if row.pool is None:
        return states
    short = [one for one, state in states.items() if at_site.lacks_leases(row.pool, state)]
    if short:
        with writing(n_context.get_admin_context()) as connection:
            for one in short:
                at_site.ensure(connection, row.pool, one, site)
        states |= row.read(short, site)
    return states


def _shadows(site: SiteName, ids: Sequence[str]) -> States:
    with reading(n_context.get_admin_context()) as connection:
        locations = location.peek_locations(connection, ids)
    elsewhere = {one: located for one, located in locations.items() if located.site != site}
    present = _mapped(
        ResourceType.NETWORK, site, {located.network_id for located in elsewhere.values()}
    )
    here = [one for one, located in elsewhere.items() if located.network_id in present]
    # Before the ports: one that is reported meanwhile is still said to be stale, and sent again.
    with reading(n_context.get_admin_context()) as connection:
        stale = home.find_stale(connection, here)
    ports = ROWS[ResourceType.PORT].read(here, site)
    answered = state.find_answered(ports.values())
    states: dict[str, dict[str, Any]] = {}
    for port_id, port in ports.items():
        located = elsewhere[port_id]
        shadow = state.build_shadow(port, located, answered=port_id in answered)
        states[port_id] = shadow.to_dict()
        if port_id in stale:
            states[port_id][attribute.STALE] = True
    return states


def _leases(site: SiteName, ids: Sequence[str]) -> States:
    with reading(n_context.get_admin_context()) as connection:
        leases = lease_store.list_leases(connection, ids=ids, site=site)
        asked = recall.list_of(connection, [lease.id for lease in leases])
    states: dict[str, dict[str, Any]] = {}
    for lease in leases:
        states[lease.id] = dict(lease_store.to_state(lease))
        if lease.id in asked:
            one = asked[lease.id]
            states[lease.id][attribute.RECALL] = {
                "id": one.id,
                "first": str(one.block.first),
                "last": str(one.block.last),
                "count": one.wanted,
            }
    return states


#: Types that are not resources of Neutron's API.
_OURS: Mapping[ResourceType, Callable[[SiteName, Sequence[str]], States]] = {
    ResourceType.LEASE: _leases,
    ResourceType.SHADOW: _shadows,
}
