"""Routers at central: where the networks are that they join, and where their gateways are.

A router's state at a site says with which interfaces and gateway it is there, and what is decided
of its exits; floating IPs, port forwardings and extra routes are parts of that.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3, l3_attrs, port_forwarding
from neutron.db.qos import models as qos
from neutron_lib import context as n_context
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.model import attribute
from isthmus.model.exits.plan import ExitPlan
from isthmus.model.exits.plan_form import to_form
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central import presence
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.outgoing.change import Changes, Part, Written
from isthmus.neutron.central.resource.row import CentralResource, States
from isthmus.neutron.central.router import exit_decision, limits
from isthmus.neutron.db import gateways, interfaces
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import journal
from isthmus.store.tiers import epoch, mapping
from isthmus.store.tiers.locked import LockedObjects

_ROUTER = ResourceType.ROUTER
_OF_ROUTER = Part("router_id")
_JOINS = l3.RouterPort.__table__
_PORTS = models_v2.Port.__table__
_FLOATING = l3.FloatingIP.__table__
_FORWARDINGS = port_forwarding.PortForwarding.__table__
#: What of a floating IP says where it is answered.
_PLACED = frozenset({"fixed_port_id", "fixed_ip_address", "router_id"})
#: What says nothing to sites; Neutron writes it after the rest, in a transaction of its own.
_SHOWN = frozenset({"status"})


_NOTHING = ExitPlan(sites={}, seats={}, idle={})


def _touch(changes: Changes, row: Written) -> None:
    changes.touch(_ROUTER, row.entity.id)
    if row.deleted:
        changes.gone.setdefault(_ROUTER, set()).add(row.entity.id)


def _touch_part(changes: Changes, row: Written) -> None:
    """Note what comes or goes with an interface or a gateway."""
    if row.entity.router_id and (row.new or row.deleted):
        changes.joined.add(row.entity.router_id)
    if row.entity.router_id and row.new:
        changes.asked.add(row.entity.router_id)
        if row.entity.port_type == gateways.OWNER:
            changes.gated.add(row.entity.port_id)
        else:
            changes.met.add(row.entity.router_id)


def _touch_route(changes: Changes, row: Written) -> None:
    if row.entity.router_id and row.new:
        changes.asked.add(row.entity.router_id)


def _touch_floating(changes: Changes, row: Written) -> None:
    """Add the routers by which a floating IP is answered, and was until now."""
    floating = row.entity
    if not (row.new or row.deleted or row.changed() - _SHOWN):
        return
    before = sa.inspect(floating).attrs.router_id.history.deleted or ()
    for router_id in {floating.router_id, *before} - {None}:
        changes.touch(_ROUTER, router_id)
    if not row.deleted and floating.fixed_port_id and (row.new or _PLACED & row.changed()):
        changes.floated.add(floating.id)


def _touch_limit(changes: Changes, row: Written) -> None:
    """Add the floating IP that a QoS policy limits, or did."""
    changes.limited.add(row.entity.fip_id)


def _touch_forwarding(changes: Changes, row: Written) -> None:
    """Add the floating IP whose router has a port forwarding."""
    changes.forwarding.add(row.entity.floatingip_id)
    if not row.deleted and (row.new or row.changed()):
        changes.forwarded.add(row.entity.id)


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Map routers to the sites of what they join and leave by, and return whom to tell."""
    gone = changes.get_gone(_ROUTER)
    if changes.joined - gone:
        presence.spread(connection, (), changes.joined - gone)
    moved = changes.shadowed - changes.new.get(ResourceType.PORT, set())
    routers = changes.get_touched(_ROUTER) | _find_routers(connection, moved)
    outside = {
        network_id
        for subnet_id in changes.get_touched(ResourceType.SUBNET)
        if (network_id := changes.networks.get(subnet_id)) is not None
    }
    routers |= exit_decision.find_by_networks(connection, outside)
    routers |= _find_forwarding(connection, changes.forwarding)
    routers |= _find_limited(connection, changes)
    if not routers:
        return set()
    asked = exit_decision.Asked(
        routers=frozenset(changes.asked),
        joined=frozenset(changes.met),
        gateways=_find_networks(connection, changes.gated),
        floating_ips=frozenset(changes.floated),
        forwardings=frozenset(changes.forwarded),
        leaving=frozenset(one for one in changes.left if one[0] not in gone),
    )
    exit_decision.follow(connection, routers - gone, asked)
    locked = LockedObjects(connection, _ROUTER, routers)
    keys = {IntentKey(site, _ROUTER, one) for one in routers for site in locked.sites(one)}
    for one in (routers & changes.needy) - gone:
        sites = [site for site, withdrawn in locked.sites(one).items() if not withdrawn]
        keys |= along.bring(connection, {_ROUTER: [one]}, sites)
    return keys


def _find_limited(connection: sa.Connection, changes: Changes) -> set[str]:
    """Find the routers of floating IPs that got, lost or share a policy, or one that changed."""
    query = sa.select(_FLOATING.c.router_id).where(_FLOATING.c.id.in_(sorted(changes.limited)))
    found = set(connection.scalars(query)) - {None} if changes.limited else set()
    found |= limits.find_limited(connection, changes.get_changed(ResourceType.QOS_POLICY))
    networks = changes.get_touched(ResourceType.NETWORK) & changes.needy
    return found | limits.find_on_networks(connection, networks)


def _find_networks(connection: sa.Connection, port_ids: Collection[str]) -> frozenset[str]:
    query = sa.select(_PORTS.c.network_id).where(_PORTS.c.id.in_(sorted(port_ids)))
    return frozenset(connection.scalars(query)) if port_ids else frozenset()


def _find_forwarding(connection: sa.Connection, floating_ids: Collection[str]) -> set[str]:
    """Return the routers by which floating IPs are answered; one that has left it is touched.

    Raises:
        RetryRequest: others have changed what a floating IP forwards since this transaction began,
            so that it has a router for nothing, or none for what it forwards.
    """
    if not floating_ids:
        return set()
    query = sa.select(_FLOATING.c.id, _FLOATING.c.router_id, _FLOATING.c.fixed_port_id)
    query = query.where(_FLOATING.c.id.in_(sorted(floating_ids))).order_by(_FLOATING.c.id)
    rows = connection.execute(query.with_for_update()).all()
    of_these = sa.select(_FORWARDINGS.c.floatingip_id).where(
        _FORWARDINGS.c.floatingip_id.in_(sorted(floating_ids))
    )
    forwards = set(connection.scalars(of_these.with_for_update()))
    for row in rows:
        if row.fixed_port_id is None and (row.router_id is None) == (row.id in forwards):
            raise db_exc.RetryRequest(errors.Overtaken(f"floating IP {row.id} changed just now"))
    return {row.router_id for row in rows} - {None}


def _find_routers(connection: sa.Connection, port_ids: Collection[str]) -> set[str]:
    """Return the routers whose interfaces or gateways these ports are."""
    if not port_ids:
        return set()
    owners = (interfaces.OWNER, gateways.OWNER)
    query = sa.select(_JOINS.c.router_id).where(
        _JOINS.c.port_id.in_(sorted(port_ids)), _JOINS.c.port_type.in_(owners)
    )
    return set(connection.scalars(query))


def _add_carried(connection: sa.Connection, states: States, site: SiteName) -> None:
    """Add the interfaces on networks that are present at the site, its gateway and its exits."""
    add_everywhere(connection, states)
    networks = {one["network_id"] for state in states.values() for one in _of(state)}
    present = mapping.peek_ids(connection, ResourceType.NETWORK, site, networks)
    for state in states.values():
        state[attribute.INTERFACES] = [one for one in _of(state) if one["network_id"] in present]
        state[attribute.EXITS] = state[attribute.EXITS].get(site)
        state[attribute.GATEWAY] = state[attribute.GATEWAY].get(site)


def add_everywhere(connection: sa.Connection, states: States) -> None:
    """Add to routers all interfaces, and by site what is decided of their exits, and gateways."""
    interfaces.add_interfaces(connection, states)
    plans = exit_decision.peek_plans(connection, states.keys())
    ports = gateways.list_gateways(connection, plans.keys())
    for router_id, state in states.items():
        plan = plans.get(router_id, _NOTHING)
        state[attribute.EXITS] = {site: to_form(one) for site, one in plan.sites.items()}
        seats = [(plan.seats.get(gateways.identify(one)), one) for one in ports.get(router_id, ())]
        state[attribute.GATEWAY] = {site: one for site, one in reversed(seats) if site is not None}


def _complete(site: SiteName, states: States) -> States:
    """Allocate transit keys that a site's state or reachability has made necessary."""
    with reading(n_context.get_admin_context()) as connection:
        short = exit_decision.find_lacking_transit(connection, states.keys())
    if not short:
        return states
    with writing(n_context.get_admin_context()) as connection:
        if not epoch.is_recovered(connection):
            return states  # a renewal after that does it
        journal.record(connection, exit_decision.follow(connection, short))
    return {**states, **ROUTER.read(short, site)}


def _of(state: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = state[attribute.INTERFACES]
    return found


_ONE_EXIT = fate.refused(
    "a site has one default route, since replies must come back where packets left (ADR 0060)"
)
_OVN = fate.own("ML2/OVN decides it alike in every tier, and refuses any other value")

ROUTER = CentralResource(
    kind=_ROUTER,
    model=l3.Router,
    touched_by={
        l3.Router: _touch,
        l3.RouterPort: _touch_part,
        l3.RouterRoute: _touch_route,
        l3.FloatingIP: _touch_floating,
        port_forwarding.PortForwarding: _touch_forwarding,
        qos.QosFIPPolicyBinding: _touch_limit,
    },
    parts={
        l3.RouterPort: _OF_ROUTER,
        l3.RouterRoute: _OF_ROUTER,
        l3_attrs.RouterExtraAttributes: _OF_ROUTER,
        qos.QosRouterGatewayIPPolicyBinding: Part("router_id", names=True),
    },
    attributes={
        "routers": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "admin_state_up": fate.CARRIED,
            "routes": fate.CARRIED,
            "external_gateway_info": fate.CARRIED,
            "external_gateways": fate.CARRIED,
            "enable_default_route_bfd": _ONE_EXIT,
            "enable_default_route_ecmp": _ONE_EXIT,
            "enable_snat": fate.CARRIED,
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
    tells_of=(
        _ROUTER,
        ResourceType.PORT,
        ResourceType.SUBNET,
        ResourceType.QOS_POLICY,
        ResourceType.NETWORK,
    ),
    add_carried=_add_carried,
    complete=_complete,
)
