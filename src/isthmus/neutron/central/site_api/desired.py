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


def parse_keys(body: Any) -> dict[ResourceType, list[str]]:
    """Parse the keys of desired states: the ids of objects, by type.

    Raises:
        Invalid: they are malformed.
    """
    ids: dict[ResourceType, list[str]] = {}
    try:
        for one in body:
            ids.setdefault(ResourceType(one["type"]), []).append(str(one["id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise errors.Invalid("keys must be a list of {type, id}") from error
    return ids


def read_desired(kind: ResourceType, site: SiteName, ids: Sequence[str]) -> list[Item]:
    """Read what a site should have of objects of one type: states, or that they should not exist.

    What a site lacks of their pools is leased to it first.
    """
    states: States
    if kind in _OURS:
        states = _OURS[kind](site, ids)
    else:
        row = ROWS[kind]
        states = row.read(_find_mapped(kind, site, ids), site)
        if row.complete is not None and states:
            states = row.complete(site, states)
        pool = row.pool
        short = [one for one in states if pool and at_site.lacks_leases(pool, states[one])]
        if pool and short:
            with writing(n_context.get_admin_context()) as connection:
                for one in short:
                    at_site.ensure(connection, pool, one, site)
            states |= row.read(short, site)
    crash.point("central.desired.read")
    standing = _find_standing(ids) if kind is ResourceType.PORT else set()
    return [
        Item(kind, one, states.get(one), withdrawn=one not in states and one in standing)
        for one in ids
    ]


def _find_standing(port_ids: Sequence[str]) -> set[str]:
    """Return which ports exist: a site that is to remove one may still refuse."""
    port = models_v2.Port
    with reading(n_context.get_admin_context()) as connection:
        return set(connection.scalars(sa.select(port.id).where(port.id.in_(port_ids))))


def _find_mapped(kind: ResourceType, site: SiteName, ids: Iterable[str]) -> set[str]:
    with reading(n_context.get_admin_context()) as connection:
        return mapping.peek_ids(connection, kind, site, list(ids))


def _shadows(site: SiteName, ids: Sequence[str]) -> States:
    with reading(n_context.get_admin_context()) as connection:
        locations = location.peek_locations(connection, ids)
    elsewhere = {one: located for one, located in locations.items() if located.site != site}
    present = _find_mapped(
        ResourceType.NETWORK, site, {located.network_id for located in elsewhere.values()}
    )
    here = [one for one, located in elsewhere.items() if located.network_id in present]
    # Before the ports: one that is reported meanwhile is still said to be stale, and sent again.
    with reading(n_context.get_admin_context()) as connection:
        stale = home.find_stale(connection, here)
    ports = ROWS[ResourceType.PORT].read(here, site)
    answered = state.find_answered(ports.values())
    domains = state.list_domains({port["network_id"] for port in ports.values()})
    states: dict[str, dict[str, Any]] = {}
    for port_id, port in ports.items():
        located = elsewhere[port_id]
        shadow = state.build_shadow(
            port,
            located,
            answered=port_id in answered,
            domain=domains.get(port["network_id"], ""),
        )
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
