"""Networks at central: sites where they are present are told, and get their subnets too."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db import rbac_db_models as rbac
from neutron.db.models import dns, external_net, segment
from neutron.db.port_security import models as port_security
from neutron.db.qos import models as qos_models

from isthmus.model.intent import IntentKey
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.outgoing.change import Changes, Part
from isthmus.neutron.central.presence import Brought, bring
from isthmus.neutron.central.provider_network import segmented
from isthmus.neutron.central.resource.row import CentralResource
from isthmus.store.tiers.locked import LockedObjects

_NETWORK = ResourceType.NETWORK
_OF_NETWORK = Part("network_id")


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Return what to tell the sites where networks are present, or were present.

    The networks of touched subnets are locked at the same time, in one order.
    """
    networks = changes.get_changed(_NETWORK)
    unknown = changes.get_touched(ResourceType.SUBNET) - changes.networks.keys()
    if unknown:
        changes.networks.update(_find_networks(connection, unknown))
    changes.locked = LockedObjects(connection, _NETWORK, {*networks, *changes.networks.values()})
    keys: set[IntentKey] = set()
    for network_id in networks:
        sites = changes.locked.sites(network_id)
        keys |= {IntentKey(site, _NETWORK, network_id) for site in sites}
        if network_id in changes.needy:
            there = [site for site, withdrawn in sites.items() if not withdrawn]
            keys |= along.bring(connection, {_NETWORK: [network_id]}, there)
    return keys


def _find_networks(connection: sa.Connection, subnet_ids: set[str]) -> dict[str, str]:
    """Look up the networks of subnets of which only a part was touched."""
    subnet = models_v2.Subnet
    query = sa.select(subnet.id, subnet.network_id).where(subnet.id.in_(sorted(subnet_ids)))
    return {row.id: row.network_id for row in connection.execute(query)}


def _bring(
    context: Any, site: Site, seen: Sequence[Mapping[str, Any]], project_id: str | None
) -> Brought:
    return bring(context, site, [(one["id"], one) for one in seen], project_id)


NETWORK = CentralResource(
    kind=_NETWORK,
    model=models_v2.Network,
    parts={
        models_v2.Network: Part(),
        port_security.NetworkSecurityBinding: _OF_NETWORK,
        segment.NetworkSegment: _OF_NETWORK,
        external_net.ExternalNetwork: _OF_NETWORK,
        dns.NetworkDNSDomain: _OF_NETWORK,
        qos_models.QosNetworkPolicyBinding: Part("network_id", names=True),
        rbac.NetworkRBAC: Part("object_id"),
    },
    attributes={
        "networks": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "admin_state_up": fate.CARRIED,
            "mtu": fate.CARRIED,
            "port_security_enabled": fate.CARRIED,
            "dns_domain": fate.CARRIED,
            "provider:network_type": fate.CARRIED,
            "provider:physical_network": fate.CARRIED,
            "provider:segmentation_id": fate.own(
                "carried for a VLAN network; else each tier chooses its own: it is not on the wire"
            ),
            "router:external": fate.CARRIED,
            "shared": fate.own("carried as the sharing rules (RBAC) that it stands for"),
            "availability_zone_hints": fate.CENTRAL_ALONE,
            "availability_zones": fate.DERIVED,
            "ha": fate.own("of layer 3's own networks, which are not carried"),
            "ipv4_address_scope": fate.CENTRAL_ALONE,
            "ipv6_address_scope": fate.CENTRAL_ALONE,
            "is_default": fate.CENTRAL_ALONE,
            "l2_adjacency": fate.DERIVED,
            "project_default": fate.CENTRAL_ALONE,
            "pvlan": fate.PVLAN,
            "qinq": fate.refused("tagged frames are not carried between sites"),
            "qos_policy_id": fate.CARRIED,
            "segments": fate.own("that of a site is carried there as provider attributes"),
            "status": fate.own("each tier's own"),
            "subnets": fate.DERIVED,
            "vlan_transparent": fate.refused("tagged frames are not carried between sites"),
        },
    },
    tell=_tell,
    tells_of=(_NETWORK, ResourceType.SUBNET),
    rbac=rbac.NetworkRBAC,
    pool=PoolKind.PORT_KEY,
    add_carried=segmented.carry_own,
    bring=_bring,
)
