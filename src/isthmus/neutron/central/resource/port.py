"""Ports at central: the home gets the port, every other site of its network gets its shadow."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.extra_dhcp_opt import models as dhcp_models
from neutron.db.models import (
    allowed_address_pair,
    dns,
    securitygroup,
    uplink_status_propagation,
)
from neutron.db.port_security import models as port_security
from neutron.db.qos import models as qos_models
from neutron_lib import constants

from isthmus import errors
from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api import carried as fate
from isthmus.neutron.api.carried import Attribute
from isthmus.neutron.central import reporting
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.outgoing.change import Changes, Part, Written
from isthmus.neutron.central.presence import Brought
from isthmus.neutron.central.resource.row import CentralResource, States
from isthmus.neutron.central.trunk import gather
from isthmus.neutron.db.session import now
from isthmus.store.ports import home, location
from isthmus.store.tiers.locked import LockedObjects

_PORT = ResourceType.PORT
_OF_PORT = Part("port_id")
_TAKES_ALONG = Part("port_id", names=True)

#: Attributes of a port that its home site owns: their change at central is not told to it.
_HOME_OWNED = frozenset(
    {
        "status",
        "device_id",
        "device_owner",
        "port_bindings",
        "binding_levels",
        "distributed_port_binding",
        "standard_attr",
        "standard_attr_id",
    }
)
#: Owners of ports that are parts of routers.
_ROUTERS = (*constants.ROUTER_INTERFACE_OWNERS, constants.DEVICE_OWNER_ROUTER_GW)
#: Owners of ports that live nowhere.
_HOMELESS = (*_ROUTERS, constants.DEVICE_OWNER_FLOATINGIP)
#: Attributes of a port's own row that its shadow shows.
_SHADOWED = frozenset({"mac_address", "admin_state_up", "device_owner"})


def _touch(changes: Changes, row: Written) -> None:
    port, changed = row.entity, row.changed()
    if row.new:
        changes.new.setdefault(_PORT, set()).add(port.id)
    if port.device_owner in _ROUTERS and port.device_id:
        # It travels as a part of the router. A new one joins it in a transaction of its own: a
        # delivery before that would hold up the one behind it.
        is_new = port.id in changes.new.get(_PORT, ())
        if row.deleted or (not is_new and changed - _HOME_OWNED):
            changes.touch(ResourceType.ROUTER, port.device_id)
        if row.deleted:
            changes.joined.add(port.device_id)
            changes.left.add((port.device_id, port.network_id))
    if row.deleted:
        changes.gone.setdefault(_PORT, set()).add(port.id)
        return
    if changed - _HOME_OWNED:
        changes.touch(_PORT, port.id)
    if changed & _SHADOWED:
        changes.shadowed.add(port.id)


def _touch_shadowed(changes: Changes, row: Written) -> None:
    if row.entity.port_id:
        changes.shadowed.add(row.entity.port_id)


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Return what to tell of ports: the home, and every other site where the network is present."""
    touched, gone = changes.get_touched(_PORT), changes.get_gone(_PORT)
    new = changes.new.get(_PORT, set())
    said = reporting.current()
    keys: set[IntentKey] = set()
    if said is not None and said.port_id in new:
        _give_home(connection, said)
        keys |= along.bring(connection, {_PORT: [said.port_id]}, [said.site])
    # Nobody else can have mapped a port that this transaction creates.
    old = (touched | changes.shadowed | gone) - new
    homes = LockedObjects(connection, _PORT, old)
    if said is not None and said.port_id in old:
        _check_home(homes, said)
    for port_id in (touched | gone) - new:
        for site in homes.sites(port_id):
            if not _said_by(site, port_id):
                keys.add(IntentKey(site, _PORT, port_id))
            elif port_id in gone:
                home.delete(connection, port_id, site)
            if port_id in changes.needy and port_id not in gone:
                keys |= along.bring(connection, {_PORT: [port_id]}, [site])
    return keys | _shadows(connection, (changes.shadowed | gone) - new, gone)


def _shadows(connection: sa.Connection, port_ids: set[str], gone: set[str]) -> set[IntentKey]:
    """Return intents for sites with shadows of ports; a new port has none before it is located."""
    locations = location.list_locations(connection, port_ids)
    if not locations:
        return set()
    present = LockedObjects(
        connection, ResourceType.NETWORK, {one.network_id for one in locations.values()}
    )
    location.delete(connection, gone & locations.keys())
    return {
        IntentKey(site, ResourceType.SHADOW, port_id)
        for port_id, located in locations.items()
        for site, withdrawn in present.sites(located.network_id).items()
        if site != located.site and not withdrawn
    }


def _give_home(connection: sa.Connection, said: reporting.CurrentReport) -> None:
    """Record the home of a port that was created at a site, in the transaction that creates it.

    Raises:
        Stale: the network was withdrawn from the site meanwhile; try again.
    """
    port = models_v2.Port
    row = connection.execute(
        sa.select(port.project_id, port.network_id).where(port.id == said.port_id)
    ).one()
    network = LockedObjects(connection, ResourceType.NETWORK, [row.network_id])
    if network.sites(row.network_id).get(said.site) is not False:
        raise errors.Stale(f"network {row.network_id} is being withdrawn from site {said.site}")
    home.assign(connection, said.port_id, said.site, project_id=row.project_id, now=now())


def _check_home(homes: LockedObjects, said: reporting.CurrentReport) -> None:
    """Let a report change a port only while its site is the port's home.

    Raises:
        Conflict: the home has changed since the report was read.
    """
    sites = homes.sites(said.port_id)
    if said.site not in sites:
        raise errors.Conflict(
            f"port {said.port_id} does not live at site {said.site}", site=next(iter(sites), None)
        )


def _said_by(site: SiteName, port_id: str) -> bool:
    said = reporting.current()
    return said is not None and said.site == site and said.port_id == port_id


def _add_carried(connection: sa.Connection, states: States, _site: SiteName) -> None:
    """Add the initially agreed state to ports that were created at a site."""
    bases = home.find_bases(connection, states)
    stale = home.find_stale(connection, states)
    for port_id in stale:  # their bases are their restored states
        states[port_id][attribute.STALE] = True
    for port_id in bases.keys() - stale:
        states[port_id][attribute.BASE] = bases[port_id]


def _bring(
    context: Any, site: Site, seen: Sequence[Mapping[str, Any]], project_id: str | None
) -> Brought:
    refused = [(one["id"], _refusal(one)) for one in seen if _is_homeless(one)]
    ports = [one for one in seen if not _is_homeless(one)]
    brought = gather.bring_with_trunks(context, site, ports, project_id)
    return Brought(brought.ids, [*refused, *brought.refused])


def _is_homeless(port: Mapping[str, Any]) -> bool:
    return port["device_owner"] in _HOMELESS


def _refusal(port: Mapping[str, Any]) -> errors.Conflict:
    if port["device_owner"] not in _ROUTERS:
        return errors.Conflict(
            f"port {port['id']} is the address of floating IP {port['device_id']}: no site has it; "
            "change the floating IP at central"
        )
    return errors.Conflict(
        f"port {port['id']} is an interface of router {port['device_id']}: it is at each site of "
        "the router and at home at none; change it at central"
    )


_HOME = fate.own(
    "the home site's word: it comes by report, and is refused for a port that has a home"
)
_SITE_HARDWARE = fate.refused("no site is told of it: set it at the site where the port is bound")
_ATTRIBUTES: Mapping[str, Attribute] = {
    **fate.STANDARD,
    "name": fate.CARRIED,
    "network_id": fate.CARRIED,
    "admin_state_up": fate.CARRIED,
    "mac_address": fate.CARRIED,
    "fixed_ips": fate.CARRIED,
    "security_groups": fate.CARRIED,
    "allowed_address_pairs": fate.CARRIED,
    "port_security_enabled": fate.CARRIED,
    "extra_dhcp_opts": fate.CARRIED,
    "device_id": _HOME,
    "device_owner": _HOME,
    "binding:host_id": _HOME,
    "binding:profile": _HOME,
    "binding:vnic_type": _HOME,
    "binding:vif_details": _HOME,
    "binding:vif_type": _HOME,
    "status": _HOME,
    "data_plane_status": _SITE_HARDWARE,
    "device_profile": _SITE_HARDWARE,
    "dns_assignment": fate.DERIVED,
    "dns_domain": fate.refused(
        "it is for an external DNS service, and no site tells one of a port"
    ),
    "dns_name": fate.CARRIED,
    "hardware_offload_type": _SITE_HARDWARE,
    "hints": _SITE_HARDWARE,
    "ip_allocation": fate.DERIVED,
    "numa_affinity_policy": _SITE_HARDWARE,
    "propagate_uplink_status": _SITE_HARDWARE,
    "pvlan_community": fate.PVLAN,
    "pvlan_type": fate.PVLAN,
    "qos_network_policy_id": fate.DERIVED,
    "qos_policy_id": fate.CARRIED,
    "resource_request": fate.DERIVED,
    "trunk_details": fate.own(
        "follows from trunks; those that a site has made are shown there alone"
    ),
    "trusted": _SITE_HARDWARE,
}
#: Attributes of a port that its home alone sets.
HOME_ONLY: tuple[str, ...] = tuple(
    name for name, one in _ATTRIBUTES.items() if one is _HOME and name != "status"
)


PORT = CentralResource(
    kind=_PORT,
    model=models_v2.Port,
    touched_by={
        models_v2.Port: _touch,
        models_v2.IPAllocation: _touch_shadowed,
        dns.PortDNS: _touch_shadowed,
        allowed_address_pair.AllowedAddressPair: _touch_shadowed,
        port_security.PortSecurityBinding: _touch_shadowed,
        securitygroup.SecurityGroupPortBinding: _touch_shadowed,
    },
    parts={
        models_v2.IPAllocation: _OF_PORT,
        allowed_address_pair.AllowedAddressPair: _OF_PORT,
        port_security.PortSecurityBinding: _OF_PORT,
        securitygroup.SecurityGroupPortBinding: _TAKES_ALONG,
        dhcp_models.ExtraDhcpOpt: _OF_PORT,
        dns.PortDNS: _OF_PORT,
        qos_models.QosPortPolicyBinding: _TAKES_ALONG,
        uplink_status_propagation.PortUplinkStatusPropagation: _OF_PORT,
    },
    attributes={"ports": _ATTRIBUTES},
    tell=_tell,
    tells_of=(_PORT,),
    add_carried=_add_carried,
    bring=_bring,
)
