"""Subnets at central: each is mapped to the sites of its network, with addresses for each."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import dns, subnet_service_type
from neutron_lib import context as n_context

from isthmus.model.intent import IntentKey
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central.outgoing.change import Changes, Part, Written
from isthmus.neutron.central.presence import Brought, bring
from isthmus.neutron.central.provider_network import segmented
from isthmus.neutron.central.resource.row import CentralResource, States
from isthmus.neutron.db.session import now, reading
from isthmus.store.tiers import mapping
from isthmus.store.tiers.locked import LockedObjects

_SUBNET = ResourceType.SUBNET
_OF_SUBNET = Part("subnet_id")


def _touch(changes: Changes, row: Written) -> None:
    subnet = row.entity
    changes.touch(_SUBNET, subnet.id)
    changes.networks[subnet.id] = subnet.network_id
    if row.deleted:
        changes.gone.setdefault(_SUBNET, set()).add(subnet.id)


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Map subnets to all sites where their networks are present, and return what to tell them."""
    subnets = changes.get_touched(_SUBNET)
    assert changes.locked is not None, "networks come before their subnets in the registry"
    locked = LockedObjects(connection, _SUBNET, subnets, alone=True)
    for subnet_id in subnets - changes.get_gone(_SUBNET):
        present = changes.locked.sites(changes.networks.get(subnet_id, ""))
        for site, withdrawn in present.items():
            if withdrawn or site in locked.sites(subnet_id):
                continue
            if not segmented.find_elsewhere(connection, site, [subnet_id]):
                locked.map_to(site, [subnet_id], now=now())
    return {
        IntentKey(site, _SUBNET, subnet_id)
        for subnet_id in subnets
        for site in locked.sites(subnet_id)
    }


def _complete(site: SiteName, states: States) -> States:
    """Leave out subnets whose network is not at the site."""
    networks = {one["network_id"] for one in states.values()}
    with reading(n_context.get_admin_context()) as connection:
        present = mapping.peek_ids(connection, ResourceType.NETWORK, site, list(networks))
    return {one: row for one, row in states.items() if row["network_id"] in present}


def _bring(
    context: Any, site: Site, seen: Sequence[Mapping[str, Any]], project_id: str | None
) -> Brought:
    return bring(context, site, [(one["network_id"], one) for one in seen], project_id)


SUBNET = CentralResource(
    kind=_SUBNET,
    model=models_v2.Subnet,
    touched_by={models_v2.Subnet: _touch},
    parts={
        models_v2.DNSNameServer: _OF_SUBNET,
        models_v2.SubnetRoute: _OF_SUBNET,
        models_v2.IPAllocationPool: _OF_SUBNET,
        subnet_service_type.SubnetServiceType: _OF_SUBNET,
        dns.SubnetDNSPublishFixedIP: _OF_SUBNET,
    },
    attributes={
        "subnets": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "network_id": fate.CARRIED,
            "cidr": fate.CARRIED,
            "ip_version": fate.CARRIED,
            "enable_dhcp": fate.CARRIED,
            "gateway_ip": fate.CARRIED,
            "allocation_pools": fate.CARRIED,
            "dns_nameservers": fate.CARRIED,
            "host_routes": fate.CARRIED,
            "ipv6_ra_mode": fate.CARRIED,
            "ipv6_address_mode": fate.CARRIED,
            "service_types": fate.CARRIED,
            "dns_publish_fixed_ip": fate.CARRIED,
            "leak_routes": fate.refused("layer 3 is not carried yet"),
            "prefixlen": fate.CENTRAL_ALONE,
            "router:external": fate.DERIVED,
            "segment_id": fate.own("a site has the subnets of its own segment, and no others"),
            "shared": fate.DERIVED,
            "subnetpool_id": fate.CENTRAL_ALONE,
            "use_default_subnetpool": fate.CENTRAL_ALONE,
        },
    },
    tell=_tell,
    tells_of=(_SUBNET,),
    pool=PoolKind.SUBNET,
    add_carried=segmented.leave_out_elsewhere,
    complete=_complete,
    bring=_bring,
)
