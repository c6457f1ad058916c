"""Routers at central: with their interfaces they go where the networks are that they join."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db.models import l3, l3_attrs

from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central import presence
from isthmus.neutron.central.outgoing.change import Changes, Written, part_of
from isthmus.neutron.central.resource.row import CentralResource, States
from isthmus.neutron.db import interfaces
from isthmus.store.tiers import mapping
from isthmus.store.tiers.held import Held

_ROUTER = ResourceType.ROUTER
_part_of_router = part_of(_ROUTER, "router_id")
_JOINS = l3.RouterPort.__table__


def _touch(changes: Changes, row: Written) -> None:
    changes.touch(_ROUTER, row.entity.id)
    if row.deleted:
        changes.gone.setdefault(_ROUTER, set()).add(row.entity.id)


def _touch_interface(changes: Changes, row: Written) -> None:
    _part_of_router(changes, row)
    if row.entity.router_id and (row.new or row.deleted):
        changes.joined.add(row.entity.router_id)


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Map routers to the sites of what they join, and return what to tell the sites."""
    changed = changes.joined - changes.get_gone(_ROUTER)
    if changed:
        presence.spread(connection, (), changed)
    moved = changes.shadowed - changes.new.get(ResourceType.PORT, set())
    routers = changes.get_touched(_ROUTER) | _find_routers(connection, moved)
    if not routers:
        return set()
    held = Held(connection, _ROUTER, routers)
    return {IntentKey(site, _ROUTER, one) for one in routers for site in held.sites(one)}


def _find_routers(connection: sa.Connection, port_ids: Collection[str]) -> set[str]:
    """Return the routers whose interfaces these ports are."""
    if not port_ids:
        return set()
    query = sa.select(_JOINS.c.router_id).where(
        _JOINS.c.port_id.in_(sorted(port_ids)), _JOINS.c.port_type == interfaces.OWNER
    )
    return set(connection.scalars(query))


def _add_carried(connection: sa.Connection, states: States, site: SiteName) -> None:
    """Add the interfaces on networks that are present at the site."""
    interfaces.add_interfaces(connection, states)
    networks = {one["network_id"] for state in states.values() for one in _of(state)}
    present = mapping.peek_ids(connection, ResourceType.NETWORK, site, networks)
    for state in states.values():
        state[attribute.INTERFACES] = [one for one in _of(state) if one["network_id"] in present]
        state[attribute.GATEWAY] = state[attribute.EXITS] = None  # refused, see below


def _of(state: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = state[attribute.INTERFACES]
    return found


_GATEWAY = fate.refused("gateways of routers are not carried to sites yet")
_OVN = fate.own("ML2/OVN decides it alike in every tier, and refuses any other value")

ROUTER = CentralResource(
    kind=_ROUTER,
    model=l3.Router,
    touched_by={
        l3.Router: _touch,
        l3.RouterPort: _touch_interface,
        l3.RouterRoute: _part_of_router,
        l3_attrs.RouterExtraAttributes: _part_of_router,
    },
    attributes={
        "routers": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "admin_state_up": fate.CARRIED,
            "routes": fate.CARRIED,
            "external_gateway_info": _GATEWAY,
            "external_gateways": _GATEWAY,
            "enable_default_route_bfd": _GATEWAY,
            "enable_default_route_ecmp": _GATEWAY,
            "enable_snat": fate.own("of a gateway, which is refused"),
            "enable_ndp_proxy": fate.refused("ML2/OVN has no NDP proxy"),
            "evpn_vni": fate.refused("no site is told of it: EVPN is a site's own"),
            "flavor_id": fate.refused("flavors of routers are a site's own"),
            "availability_zone_hints": fate.CENTRAL_ALONE,
            "availability_zones": fate.DERIVED,
            "conntrack_helpers": fate.own("OVN has no helpers of connection tracking"),
            "distributed": _OVN,
            "ha": _OVN,
            "service_type_id": fate.refused("flavors of routers are a site's own"),
            "status": fate.own("each tier's own"),
        },
    },
    tell=_tell,
    tells_of=(_ROUTER, ResourceType.PORT),
    add_carried=_add_carried,
)
