"""Routers: made with central's id, interfaces and gateway; packets are routed where they come from.

What central has decided of the router's exits is recorded here; `dataplane` carries it out.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3, l3_attrs
from neutron.db.qos import models as qos
from neutron_lib import exceptions as n_exc
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import l3 as l3_exc
from neutron_lib.exceptions import qos as qos_exc
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.exits.plan_form import from_form
from isthmus.model.resource import ResourceType
from isthmus.neutron.db import gateways, interfaces
from isthmus.neutron.local.apply import leftover
from isthmus.neutron.local.apply.body import make_body, pick_known
from isthmus.neutron.local.apply.owned import check_owned
from isthmus.neutron.local.ovn import exit_apply
from isthmus.neutron.local.resource.row import LocalResource, States, by_id
from isthmus.store.local import exit_plan as store

_COLLECTION = "routers"
_CREATED = ("name", "description", "admin_state_up")
_UPDATED = (*_CREATED, "routes")
#: Of an interface: what may change while it stays; its id and MAC never do.
_CHANGING = ("name", "admin_state_up", "fixed_ips")


def ensure(plugin: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Make a router, or bring it and its interfaces to what central says.

    Args:
        plugin: the router plugin.
        context: an administrator's, with no transaction open.
        state: the router as central's API shows it, with `isthmus:interfaces`, `isthmus:gateway`
            and `isthmus:exits`.
        keep_existing: whether to leave a router alone that is there already.

    Raises:
        Unsupported: this site's router plugin cannot have central's routers.
        Stale: a subnet of it, or its external network, is not here yet, or a network that is still
            here has the key of its transit network.
        InUse: something of this site's own needs its gateway.
        Busy: Neutron has taken a part of it back, since OVN failed.
        Conflict: there is a router of that id here which is not central's.
        ProtocolError: what is decided of its exits is malformed.
    """
    _check_plugin(plugin)
    decided = state.get(attribute.EXITS)
    plan = None if decided is None else from_form(decided)
    router_id = state["id"]
    if _is_here(context, router_id):
        check_owned(context, ResourceType.ROUTER, router_id)
        if keep_existing:
            return
    else:
        crash.point("apply.router.sought")
        body = make_body(_COLLECTION, state, _CREATED)
        body["external_gateway_info"] = None
        plugin.create_router(context, {"router": body})
        crash.point("apply.router.made")
    said = {one["id"]: one for one in state[attribute.INTERFACES]}
    # First, and looked at again once its ports are here: a floating IP needs none of what follows.
    recorded = exit_apply.record(context, router_id, plan)
    exit_apply.carry_out(recorded.routers, recorded.chassis)
    try:
        have = plugin.get_router(context, router_id)
        kept = [one for one in have["routes"] if one in state["routes"]]
        if kept != have["routes"]:  # else an interface that is to go may be in use by one
            have = plugin.update_router(context, router_id, {"router": {"routes": kept}})
        gateway = state.get(attribute.GATEWAY)
        _drop_gateway(plugin, context, router_id, keep=gateway)
        _remove_interfaces(plugin, context, router_id, keep=said)
        _ensure_interfaces(plugin, context, router_id, said)
        _check_interfaces(context, router_id, said)
        if gateway is not None:
            _ensure_gateway(plugin, context, router_id, gateway)
        changed = changes(have, pick_known(_COLLECTION, state, _UPDATED))
        if changed:
            plugin.update_router(context, router_id, {"router": changed})
    finally:  # also what another router has lost
        exit_apply.carry_out(recorded.routers, recorded.chassis)
    recorded.require_all()  # at the end: a network that has its key may wait for an interface to go


def _is_here(context: Any, router_id: str) -> bool:
    query = sa.select(l3.Router.id).where(l3.Router.id == router_id)
    with db_api.CONTEXT_READER.using(context):
        return context.session.connection().scalar(query) is not None


def _check_plugin(plugin: Any) -> None:
    if not getattr(plugin, "takes_centrals", False):
        raise errors.Unsupported(
            "this site loads no router plugin that can have central's routers: put "
            "isthmus_local_router in the place of ovn-router in service_plugins"
        )


def _ensure_interfaces(
    plugin: Any, context: Any, router_id: str, said: Mapping[str, Mapping[str, Any]]
) -> None:
    core = directory.get_plugin()
    there = {one["id"]: one for one in _list_interfaces(context, router_id)}
    wanted = {address["subnet_id"] for one in said.values() for address in one["fixed_ips"]}
    here = {one["id"] for one in core.get_subnets(context, {"id": sorted(wanted)})}
    if wanted - here:
        raise errors.Stale(
            f"subnets {', '.join(sorted(wanted - here))} of router {router_id} are not here yet"
        )
    for port_id, one in sorted(said.items()):
        if port_id not in there:
            leftover.clear(context, [port_id])
            leftover.clear_addresses(context, one["fixed_ips"])
            subnet = {"subnet_id": one["fixed_ips"][0]["subnet_id"]}
            plugin.add_router_interface(context, router_id, subnet)
            crash.point("apply.router.joined")
            continue
        changed = changes(
            {name: there[port_id][name] for name in _CHANGING},
            {name: one[name] for name in _CHANGING},
        )
        if changed:
            plugin.update_interface(context, port_id, changed)


def _check_interfaces(context: Any, router_id: str, said: Collection[str]) -> None:
    """Check that a router has just the interfaces that it was given.

    Where OVN cannot do its part, Neutron takes its own back, and nobody hears of it: the interface
    that was removed is there again, the one that was added is gone.

    Raises:
        Busy: it has others.
    """
    there = {one["id"] for one in _list_interfaces(context, router_id)}
    differs = there.symmetric_difference(said)
    if differs:
        raise errors.Busy(
            f"OVN could not do its part for interfaces {', '.join(sorted(differs))} of router "
            f"{router_id}: Neutron has taken the change back"
        )


def _remove_interfaces(
    plugin: Any, context: Any, router_id: str, *, keep: Mapping[str, Mapping[str, Any]]
) -> None:
    """Remove the interfaces that central does not have, or has with another MAC."""
    joined = set()
    for one in _list_interfaces(context, router_id):
        joined.add(one["id"])
        if one["id"] in keep and keep[one["id"]]["mac_address"] == one["mac_address"]:
            continue
        plugin.remove_router_interface(context, router_id, {"port_id": one["id"]})
    core = directory.get_plugin()
    left = {"device_id": [router_id], "device_owner": [interfaces.OWNER]}
    for port in core.get_ports(context, left):
        if port["id"] not in joined and port["id"] not in keep:  # of an attempt that was cut short
            core.delete_port(context, port["id"], l3_port_check=False)


def _drop_gateway(
    plugin: Any, context: Any, router_id: str, *, keep: Mapping[str, Any] | None
) -> None:
    """Remove a gateway that central does not have here, or has by another port."""
    found = _list_gateways(context, router_id)
    stays = [one for one in found if keep is not None and _same_port(one, keep)]
    if found and not stays:
        try:
            plugin.update_router(context, router_id, {"router": {"external_gateway_info": None}})
        except n_exc.InUse as error:
            raise errors.InUse(
                f"the gateway of router {router_id} is in use at this site: {error}"
            ) from error
    core = directory.get_plugin()
    left = {"device_id": [router_id], "device_owner": [gateways.OWNER]}
    kept = {one["id"] for one in (*stays, keep) if one is not None}
    for port in core.get_ports(context, left):
        if port["id"] not in kept:  # of an attempt that was cut short
            core.delete_port(context, port["id"], l3_port_check=False)


def _same_port(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("id", "mac_address", "network_id"))


def _ensure_gateway(plugin: Any, context: Any, router_id: str, said: Mapping[str, Any]) -> None:
    """Set the gateway with central's port, or bring it to what central says.

    Raises:
        Stale: the external network or a subnet of it is not here yet.
    """
    core = directory.get_plugin()
    wanted = {one["subnet_id"] for one in said["fixed_ips"]}
    here = {one["id"] for one in core.get_subnets(context, {"id": sorted(wanted)})}
    network = core.get_networks(context, {"id": [said["network_id"]]})
    if wanted - here or not network:
        missing = sorted(wanted - here) if network else [said["network_id"]]
        raise errors.Stale(
            f"{', '.join(missing)} of the gateway of router {router_id} is not here yet"
        )
    found = _list_gateways(context, router_id)
    names = {*found[0], gateways.POLICY} if found else ()
    if found and all(found[0].get(name) == said.get(name) for name in names):
        return
    if not found:
        leftover.clear(context, [said["id"]])
        leftover.clear_addresses(context, said["fixed_ips"])
    info = {
        "network_id": said["network_id"],
        "enable_snat": said["enable_snat"],
        "external_fixed_ips": said["fixed_ips"],
    }
    if gateways.POLICY in said or (found and gateways.POLICY in found[0]):
        info[gateways.POLICY] = said.get(gateways.POLICY)
    try:
        plugin.update_router(context, router_id, {"router": {"external_gateway_info": info}})
    except qos_exc.QosPolicyNotFound as error:
        raise errors.Stale(
            f"the QoS policy of the gateway of router {router_id} is not here yet: {error}"
        ) from error
    crash.point("apply.router.gateway")


def _list_gateways(context: Any, router_id: str) -> list[dict[str, Any]]:
    with db_api.CONTEXT_READER.using(context):
        found = gateways.list_gateways(context.session.connection(), [router_id])
    return found[router_id]


def _list_interfaces(context: Any, router_id: str) -> list[dict[str, Any]]:
    with db_api.CONTEXT_READER.using(context):
        found = interfaces.list_interfaces(context.session.connection(), [router_id])
    return found[router_id]


def remove(plugin: Any, context: Any, router_id: str) -> None:
    """Remove a router with its interfaces.

    Raises:
        InUse: something of this site still needs it.
        Busy: Neutron has taken a part of it back, since OVN failed.
        Conflict: it is not central's.
    """
    if plugin is None:
        return
    have = ROUTER.find(plugin, context, router_id)
    if have is None:
        return
    check_owned(context, ResourceType.ROUTER, router_id)
    if have["routes"]:
        plugin.update_router(context, router_id, {"router": {"routes": []}})
    _drop_gateway(plugin, context, router_id, keep=None)
    _remove_interfaces(plugin, context, router_id, keep={})
    _check_interfaces(context, router_id, {})
    try:
        plugin.delete_router(context, router_id)
    except l3_exc.RouterNotFound:
        pass
    except n_exc.InUse as error:
        raise errors.InUse(f"router {router_id} is in use at this site: {error}") from error
    if ROUTER.find(plugin, context, router_id) is not None:
        raise errors.Busy(f"router {router_id} is here again: OVN could not remove it")
    crash.point("apply.router.removed")
    exit_apply.carry_out([router_id], chassis=True)


def _find_router_of_port(context: Any, said: Mapping[str, Any]) -> Collection[str]:
    """Return the router that a port is an interface or the gateway of; none for any other port.

    Neutron itself binds the port of a gateway, as OVN says which hypervisor has it.
    """
    body = said["port"]["port"] if "port" in said else {}
    owners = [interfaces.OWNER]
    if body.keys() != {portbindings.HOST_ID}:
        owners.append(gateways.OWNER)
    port = models_v2.Port
    query = sa.select(port.device_id).where(port.id == said["id"], port.device_owner.in_(owners))
    with db_api.CONTEXT_READER.using(context):
        return set(context.session.connection().scalars(query))


def _add_carried(connection: sa.Connection, states: States) -> None:
    interfaces.add_interfaces(connection, states)
    ids = list(states)
    decided = store.list_forms(connection, ids)
    for router_id, found in gateways.list_gateways(connection, ids).items():
        states[router_id][attribute.GATEWAY] = found[0] if found else None
        states[router_id][attribute.EXITS] = decided.get(router_id)


ROUTER = LocalResource(
    kind=ResourceType.ROUTER,
    model=l3.Router,
    parts={
        l3.Router: "id",
        l3.RouterPort: "router_id",
        l3.RouterRoute: "router_id",
        l3.FloatingIP: "router_id",
        l3_attrs.RouterExtraAttributes: "router_id",
        qos.QosRouterGatewayIPPolicyBinding: "router_id",
    },
    carried=(*_UPDATED, attribute.INTERFACES, attribute.GATEWAY, attribute.EXITS),
    not_found=l3_exc.RouterNotFound,
    ensure=ensure,
    remove=remove,
    guarded={
        "update_router": by_id(),
        "delete_router": by_id(),
        "add_router_interface": by_id("router_id"),
        "remove_router_interface": by_id("router_id"),
        "add_extraroutes": by_id("router_id"),
        "remove_extraroutes": by_id("router_id"),
        "add_external_gateways": by_id("router_id"),
        "update_external_gateways": by_id("router_id"),
        "remove_external_gateways": by_id("router_id"),
        "update_port": _find_router_of_port,
        "delete_port": _find_router_of_port,
    },
    add_carried=_add_carried,
)
