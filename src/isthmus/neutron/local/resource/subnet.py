"""Subnets, with the allocation pools that they have at central."""

from collections.abc import Mapping
from typing import Any

import netaddr
from neutron.db import models_v2
from neutron.db.models import dns, subnet_service_type
from neutron.ipam import utils as ipam_utils
from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply import leftover
from isthmus.neutron.local.apply.body import make_body, pick_known
from isthmus.neutron.local.apply.leases import add_leases
from isthmus.neutron.local.apply.made_once import made_once
from isthmus.neutron.local.apply.owned import check_owned, remove_owned
from isthmus.neutron.local.resource.row import LocalResource, by_id

_COLLECTION = "subnets"
_CREATED = (
    "name",
    "description",
    "network_id",
    "cidr",
    "ip_version",
    "enable_dhcp",
    "allocation_pools",
    "dns_nameservers",
    "host_routes",
    "ipv6_ra_mode",
    "ipv6_address_mode",
    "service_types",
    "dns_publish_fixed_ip",
)
_UPDATED = (
    "name",
    "description",
    "gateway_ip",
    "enable_dhcp",
    "allocation_pools",
    "dns_nameservers",
    "host_routes",
    "service_types",
    "dns_publish_fixed_ip",
)


def ensure(core: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Create a subnet, or update it to what central has.

    Args:
        core: the core plugin.
        context: an administrator's, with no transaction open.
        state: the subnet as central's API shows it. `subnetpool_id` is dropped: subnet pools exist
            only at central.
        keep_existing: whether to leave an existing subnet unchanged.

    Raises:
        Stale: its network is not here yet.
        Conflict: a subnet of that id exists here and is not central's.
    """
    have = SUBNET.find(core, context, state["id"])
    if have is None:
        body = make_body(_COLLECTION, _without_default_pools(state), _CREATED)
        body["gateway_ip"] = state["gateway_ip"]  # None has a meaning here: no gateway
        crash.point("apply.subnet.sought")
        leftover.clear_parts(context, SUBNET.parts, state["id"])
        try:
            with made_once(SUBNET, core, context, state["id"]):
                core.create_subnet(context, {"subnet": body})
        except n_exc.NetworkNotFound as error:
            raise errors.Stale(f"network {state['network_id']} is not here yet") from error
        crash.point("apply.subnet.made")
    else:
        check_owned(context, ResourceType.SUBNET, state["id"])
        changed = {} if keep_existing else changes(have, pick_known(_COLLECTION, state, _UPDATED))
        if changed:
            core.update_subnet(context, state["id"], {"subnet": changed})


def _without_default_pools(state: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out default pools: for some subnets Neutron accepts no explicit ones."""
    if not state.get("cidr"):
        return dict(state)  # not a CIDR: Neutron's own error is better
    generated = {
        (str(netaddr.IPAddress(pool.first)), str(netaddr.IPAddress(pool.last)))
        for pool in ipam_utils.generate_pools(state["cidr"], state.get("gateway_ip"))
    }
    pools = {
        (str(netaddr.IPAddress(pool["start"])), str(netaddr.IPAddress(pool["end"])))
        for pool in state.get("allocation_pools") or ()
    }
    return {
        name: value
        for name, value in state.items()
        if name != "allocation_pools" or pools != generated
    }


def remove(core: Any, context: Any, subnet_id: str) -> None:
    """Remove a subnet.

    Raises:
        InUse: the site's own ports have addresses of it.
        Conflict: it is not central's.
    """
    remove_owned(SUBNET, core, context, subnet_id, in_use=n_exc.SubnetInUse)
    crash.point("apply.subnet.removed")


SUBNET = LocalResource(
    kind=ResourceType.SUBNET,
    model=models_v2.Subnet,
    parts={
        models_v2.Subnet: "id",
        models_v2.DNSNameServer: "subnet_id",
        models_v2.SubnetRoute: "subnet_id",
        models_v2.IPAllocationPool: "subnet_id",
        subnet_service_type.SubnetServiceType: "subnet_id",
        dns.SubnetDNSPublishFixedIP: "subnet_id",
    },
    carried=(*_UPDATED, attribute.LEASES),
    not_found=n_exc.SubnetNotFound,
    ensure=ensure,
    remove=remove,
    guarded={"update_subnet": by_id(), "delete_subnet": by_id()},
    named_by={"network_id": ResourceType.NETWORK},
    add_carried=add_leases,
)
