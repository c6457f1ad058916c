"""Subnets, with the allocation pools that they have at central."""

from collections.abc import Mapping
from typing import Any

import netaddr
from neutron.ipam import utils as ipam_utils
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model.intent import ResourceType
from isthmus.neutron.local.apply import leftover
from isthmus.neutron.local.apply.body import make_body, pick_known
from isthmus.store.local import mapping

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
#: What a site takes over of one.
CARRIED = (*_UPDATED, "isthmus:leases")


def ensure(core: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Make a subnet, or bring it to what central says.

    Args:
        core: the core plugin.
        context: an administrator's, with no transaction open.
        state: the subnet as central's API shows it. Of which pool it is, central alone knows.
        keep_existing: whether to leave a subnet alone that is there already.

    Raises:
        Stale: its network is not here yet.
        Conflict: there is a subnet of that id here which is not central's.
    """
    have = find(core, context, state["id"])
    if have is None:
        body = make_body(_COLLECTION, _without_default_pools(state), _CREATED)
        body["gateway_ip"] = state["gateway_ip"]  # None has a meaning here: no gateway
        leftover.clear(context, [state["id"]])
        try:
            core.create_subnet(context, {"subnet": body})
        except n_exc.NetworkNotFound as error:
            raise errors.Stale(f"network {state['network_id']} is not here yet") from error
        except db_exc.DBDuplicateEntry:
            if find(core, context, state["id"]) is None:
                raise
        crash.point("apply.subnet.made")
    else:
        _check_owned(context, state["id"])
        changed = {} if keep_existing else changes(have, pick_known(_COLLECTION, state, _UPDATED))
        if changed:
            core.update_subnet(context, state["id"], {"subnet": changed})


def _without_default_pools(state: Mapping[str, Any]) -> dict[str, Any]:
    """Leave pools out that Neutron makes by itself: of some subnets it takes no others by name."""
    if not state.get("cidr"):
        return dict(state)  # not a subnet: Neutron says so better
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


def find(core: Any, context: Any, subnet_id: str) -> dict[str, Any] | None:
    """Find a subnet at this site."""
    try:
        found: dict[str, Any] = core.get_subnet(context, subnet_id)
    except n_exc.SubnetNotFound:
        return None
    return found


def _check_owned(context: Any, subnet_id: str) -> None:
    with db_api.CONTEXT_READER.using(context):
        connection = context.session.connection()
        owned = mapping.find_known(connection, ResourceType.SUBNET, [subnet_id])
    if not owned:
        raise errors.Conflict(f"subnet {subnet_id} was made at this site, not at central")


def remove(core: Any, context: Any, subnet_id: str) -> None:
    """Remove a subnet with its leases.

    Raises:
        InUse: ports of this site have addresses of it.
        Conflict: it is not central's.
    """
    if find(core, context, subnet_id) is not None:
        _check_owned(context, subnet_id)
        try:
            core.delete_subnet(context, subnet_id)
        except n_exc.SubnetNotFound:
            pass
        except n_exc.SubnetInUse as error:
            raise errors.InUse(f"subnet {subnet_id} is in use at this site: {error}") from error
        crash.point("apply.subnet.removed")
    with db_api.CONTEXT_WRITER.using(context):
        mapping.forget(context.session.connection(), ResourceType.SUBNET, subnet_id)
