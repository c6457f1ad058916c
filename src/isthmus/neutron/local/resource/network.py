"""Networks: created with central's id and datapath key."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db import rbac_db_models as rbac
from neutron.db.models import dns, external_net, segment
from neutron.db.port_security import models as port_security
from neutron.db.qos import models as qos_models
from neutron.objects import network as network_object
from neutron_lib import constants
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import qos as qos_exc

from isthmus import errors
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply.body import make_body, pick_known
from isthmus.neutron.local.apply.leases import add_leases
from isthmus.neutron.local.apply.made_once import made_once
from isthmus.neutron.local.apply.owned import check_owned, remove_owned
from isthmus.neutron.local.apply.sharing import share
from isthmus.neutron.local.resource.row import LocalResource, States, by_id, in_bodies, in_body
from isthmus.store.local import exit_plan
from isthmus.store.ports import datapath

_COLLECTION = "networks"
_CREATED = (
    "name",
    "description",
    "admin_state_up",
    "mtu",
    "port_security_enabled",
    "dns_domain",
    "qos_policy_id",
    # The segmentation id is this site's own to choose: OVN puts the datapath key on the wire, and
    # central's id may be in use here.
    "router:external",
    "provider:network_type",
)
#: On the fabric of this site; a tunnelled network has no physical network, and its id is a site's.
_OF_PROVIDERS = ("provider:physical_network", "provider:segmentation_id")
_PROVIDER_TYPES = frozenset({constants.TYPE_FLAT, constants.TYPE_VLAN})
_UPDATED = (
    "name",
    "description",
    "admin_state_up",
    "mtu",
    "port_security_enabled",
    "dns_domain",
    "router:external",
    "qos_policy_id",
)


def ensure(core: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Create a network, or update it to what central has.

    Args:
        core: the core plugin.
        context: an administrator's, with no transaction open.
        state: the network as central's API shows it, with `isthmus:datapath_key`, `isthmus:rbac`.
        keep_existing: whether to leave an existing network unchanged.

    Raises:
        Conflict: a network of that id exists here and is not central's, or its key differs.
    """
    have = NETWORK.find(core, context, state["id"])
    if have is None:
        _create(core, context, state)
    else:
        _ensure_key(context, state)
    if have is not None and not keep_existing:
        wanted = pick_known(_COLLECTION, state, _UPDATED)
        changed = changes(have, wanted)
        if changed:
            try:
                core.update_network(context, state["id"], {"network": changed})
            except qos_exc.QosPolicyNotFound as error:
                raise _not_yet(state, error) from error
    if have is None or not keep_existing:
        share(context, network_object.NetworkRBAC, state)


def _create(core: Any, context: Any, state: Mapping[str, Any]) -> None:
    """Create a network; the listener records its owner and its key in the same transaction."""
    provider = state.get("provider:network_type") in _PROVIDER_TYPES
    body = make_body(_COLLECTION, state, (*_CREATED, *(_OF_PROVIDERS if provider else ())))
    body["shared"] = False  # sharing is by RBAC rows alone
    if not body.get("qos_policy_id"):  # or Neutron would give it the default of its project here
        body.pop("qos_policy_id", None)
    crash.point("apply.network.sought")
    try:
        with made_once(NETWORK, core, context, state["id"]):
            core.create_network(context, {"network": body})
    except qos_exc.QosPolicyNotFound as error:
        raise _not_yet(state, error) from error
    crash.point("apply.network.made")


def _not_yet(state: Mapping[str, Any], error: Exception) -> errors.Stale:
    return errors.Stale(f"the QoS policy of network {state['id']} is not here yet: {error}")


def _ensure_key(context: Any, state: Mapping[str, Any]) -> None:
    """Ensure that a network is central's here, and has the same tunnel key as at central.

    Raises:
        Conflict: it was created at this site, or has another key.
    """
    network_id, key = state["id"], state.get(attribute.DATAPATH_KEY)
    check_owned(context, ResourceType.NETWORK, network_id)
    with db_api.CONTEXT_READER.using(context):
        has = datapath.find_key(context.session.connection(), network_id)
    if key is None or has == int(key):
        return
    if has is not None:
        raise errors.Conflict(
            f"network {network_id} has tunnel key {has} here and {key} at central: keys of live "
            "networks never change; remove the network's presence and extend it again"
        )
    with db_api.CONTEXT_WRITER.using(context):
        exit_plan.record_network_key(context.session.connection(), network_id, int(key))


def remove(core: Any, context: Any, network_id: str) -> None:
    """Remove a network.

    Raises:
        InUse: the site's own ports are on it.
        Conflict: it is not central's.
    """
    remove_owned(NETWORK, core, context, network_id, in_use=n_exc.NetworkInUse)
    crash.point("apply.network.removed")


def _add_carried(connection: sa.Connection, states: States) -> None:
    for network_id, state in states.items():
        state[attribute.DATAPATH_KEY] = datapath.find_key(connection, network_id)
    add_leases(connection, states)


NETWORK = LocalResource(
    kind=ResourceType.NETWORK,
    model=models_v2.Network,
    parts={
        models_v2.Network: "id",
        port_security.NetworkSecurityBinding: "network_id",
        segment.NetworkSegment: "network_id",
        external_net.ExternalNetwork: "network_id",
        dns.NetworkDNSDomain: "network_id",
        qos_models.QosNetworkPolicyBinding: "network_id",
        rbac.NetworkRBAC: "object_id",
    },
    carried=(*_UPDATED, attribute.RBAC, attribute.DATAPATH_KEY, attribute.LEASES),
    not_found=n_exc.NetworkNotFound,
    ensure=ensure,
    remove=remove,
    guarded={
        "update_network": by_id(),
        "delete_network": by_id(),
        "create_subnet": in_body("subnet", "network_id"),
        "create_subnet_bulk": in_bodies("subnets", "subnet", "network_id"),
    },
    rbac=rbac.NetworkRBAC,
    add_carried=_add_carried,
)
