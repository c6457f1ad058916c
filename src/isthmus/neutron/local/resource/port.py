"""Ports: created where this site is their home, and merged with what was changed here meanwhile."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.common import ipv6_utils
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
from neutron.extensions import securitygroup as ext_group
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib import exceptions as n_exc
from neutron_lib.api.definitions import ip_allocation as ipalloc_apidef
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import qos as qos_exc
from neutron_lib.plugins import directory
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.federation.merge import changes, merge, normalise, parts
from isthmus.federation.port import HOME, SHARED, bind_at_home
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.local.apply import leftover
from isthmus.neutron.local.apply.body import make_body, pick_known
from isthmus.neutron.local.apply.made_once import made_once
from isthmus.neutron.local.ovn import up
from isthmus.neutron.local.resource.row import LocalResource
from isthmus.store.delivery import journal
from isthmus.store.local import mapping

_BINDINGS = ml2_models.PortBinding.__table__
_COLLECTION = "ports"
_CREATED = (*SHARED, *HOME, "network_id")
#: What Neutron's methods raise as a refusal; a value that only the database refuses counts too.
_REFUSALS = (n_exc.NeutronException, n_exc.MultipleExceptions, db_exc.DBDataError)


def agreed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what both tiers agree on once one has accepted a port's state from the other.

    Addresses that follow from the MAC are left out: each tier adds and removes those itself.
    """
    fixed_ips = [
        {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
        for one in state.get("fixed_ips") or ()
        if one["subnet_id"] not in state.get(attribute.AUTO_SUBNETS, ())
    ]
    return normalise({**state, "fixed_ips": fixed_ips}, SHARED)


def mark_auto_subnets(core: Any, context: Any, states: Sequence[dict[str, Any]]) -> None:
    """Add to ports which of their subnets derive addresses from the MAC."""
    subnet_ids = {
        one["subnet_id"]
        for state in states
        for one in state.get("fixed_ips") or ()
        if ":" in str(one["ip_address"])  # of IPv4 none does, and a subnet is costly to read
    }
    auto = {
        subnet["id"]
        for subnet in (core.get_subnets(context, {"id": list(subnet_ids)}) if subnet_ids else ())
        if ipv6_utils.is_auto_address_subnet(subnet)
    }
    for state in states:
        found = {one["subnet_id"] for one in state.get("fixed_ips") or ()} & auto
        state[attribute.AUTO_SUBNETS] = sorted(found)


def ensure(
    core: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool
) -> dict[str, errors.IsthmusError]:
    """Create a port, or merge central's state with what was changed here.

    The result is reported to central where it differs from central's state.

    Args:
        core: the core plugin.
        context: an administrator's, with no transaction open.
        state: the port as central's API shows it.
        keep_existing: whether to leave an existing port unchanged.

    Returns:
        The attributes that this site refuses, and why. All others were applied.

    Raises:
        Stale: its network or a group of it is not here yet.
        Conflict: its address or MAC is taken at this site.
    """
    theirs = {**state}  # the caller has marked its subnets
    have = PORT.find(core, context, state["id"])
    if have is None:
        crash.point("apply.port.sought")
        was_up = up.is_up(state["id"])
        _create(core, context, theirs)
        crash.point("apply.port.made")
        _defer_addresses(core, context, theirs)
        if was_up and up.is_up(state["id"]):
            up.tell_neutron(state["id"])
    if state.get(attribute.STALE):
        # Central was restored and has an older state than this site: it waits for the report.
        _tell(context, state["id"])
        return {}
    if have is None:
        return {}
    if have.get("ip_allocation") == ipalloc_apidef.IP_ALLOCATION_NONE:
        _defer_addresses(core, context, theirs)  # whoever made it may have ended before that
    if keep_existing:
        return {}
    mark_auto_subnets(core, context, [have])
    with db_api.CONTEXT_READER.using(context):
        bases = mapping.find_bases(context.session.connection(), [have["id"]])
    mine, said = agreed(have), pick_known(_COLLECTION, agreed(theirs), SHARED)
    # Where the answer to the first report was lost, central sends what it made of that.
    base = bases.get(have["id"]) or state.get(attribute.BASE)
    merged = merge(base, mine, said)
    changed = changes(mine, merged)
    refused = _change(core, context, have, changed)
    if changed:
        crash.point("apply.port.merged")
    # For refused attributes the previously agreed value still holds: central's is a change yet.
    stays = {name: value for name, value in (base or {}).items() if name in refused}
    taken = {name: value for name, value in said.items() if name not in refused}
    news = any(merged[name] != value for name, value in said.items())
    _agree(context, have, {**stays, **taken}, tell=news)
    return refused


def _change(
    core: Any, context: Any, have: Mapping[str, Any], changed: Mapping[str, Any]
) -> dict[str, errors.IsthmusError]:
    """Update a port at once or, where Neutron refuses that, one attribute after another.

    Returns:
        The attributes that were refused, and why.
    """
    refused: dict[str, errors.IsthmusError] = {}
    if not changed:
        return refused
    for part in (changed, *parts(changed)):
        try:
            core.update_port(context, have["id"], {"port": _as_update(part, have)})
        except qos_exc.QosPolicyNotFound as error:
            raise _no_policy(have, error) from error
        except _REFUSALS as error:
            ours = from_any(error)
            if isinstance(ours, errors.Transient) or isinstance(error, n_exc.PortNotFound):
                raise
            refused |= dict.fromkeys(part, ours)
        else:
            if part is changed:
                return {}
            refused = {name: why for name, why in refused.items() if name not in part}
    return refused


def _create(core: Any, context: Any, state: Mapping[str, Any]) -> None:
    body = make_body(_COLLECTION, state, _CREATED)
    body["fixed_ips"] = _without_auto(state)
    body |= bind_at_home(directory.get_plugin().site.site, state)
    leftover.clear_addresses(context, body["fixed_ips"])
    try:
        with made_once(PORT, core, context, state["id"]):
            core.create_port(context, {"port": body})
    except n_exc.NetworkNotFound as error:
        raise errors.Stale(f"network {state['network_id']} is not here yet") from error
    except ext_group.SecurityGroupNotFound as error:
        raise errors.Stale(f"a group of port {state['id']} is not here yet: {error}") from error
    except qos_exc.QosPolicyNotFound as error:
        raise _no_policy(state, error) from error
    except (n_exc.SubnetNotFound, n_exc.InvalidIpForNetwork, n_exc.InvalidIpForSubnet) as error:
        raise errors.Stale(f"a subnet of port {state['id']} is not here yet: {error}") from error
    except (n_exc.IpAddressInUse, n_exc.MacAddressInUse) as error:
        raise errors.Conflict(f"port {state['id']} cannot be made here: {error}") from error


def _defer_addresses(core: Any, context: Any, state: Mapping[str, Any]) -> None:
    """Have a port get its addresses as it is bound, where central could not know of which segment.

    To this site its network has one segment, so Neutron takes a port without addresses for one that
    wants none but those that follow from its MAC. It gives all of them to one that has none yet.
    """
    if state.get("ip_allocation") != ipalloc_apidef.IP_ALLOCATION_DEFERRED:
        return
    mine = core.get_port(context, state["id"])
    if mine["ip_allocation"] != ipalloc_apidef.IP_ALLOCATION_NONE:
        return
    derived = [
        {"subnet_id": one["subnet_id"], "delete_subnet": True} for one in mine["fixed_ips"] or ()
    ]
    if derived:
        core.update_port(context, state["id"], {"port": {"fixed_ips": derived}})
    port = models_v2.Port.__table__
    with db_api.CONTEXT_WRITER.using(context):
        context.session.connection().execute(
            sa.update(port)
            .where(port.c.id == state["id"])
            .values(ip_allocation=ipalloc_apidef.IP_ALLOCATION_DEFERRED)
        )


def _no_policy(port: Mapping[str, Any], error: Exception) -> errors.Stale:
    return errors.Stale(f"the QoS policy of port {port['id']} is not here yet: {error}")


def _without_auto(state: Mapping[str, Any]) -> list[dict[str, str]]:
    auto = state.get(attribute.AUTO_SUBNETS, ())
    return [
        {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
        for one in state.get("fixed_ips") or ()
        if one["subnet_id"] not in auto
    ]


def _as_update(changed: Mapping[str, Any], have: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an update, in the form that Neutron takes."""
    update = dict(changed)
    if "fixed_ips" in update:
        auto = set(have[attribute.AUTO_SUBNETS])
        keep = [
            {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
            for one in have["fixed_ips"]
            if one["subnet_id"] in auto
        ]
        update["fixed_ips"] = [*update["fixed_ips"], *keep]
    if "extra_dhcp_opts" in update:
        wanted = {(one["opt_name"], one.get("ip_version", 4)) for one in update["extra_dhcp_opts"]}
        gone = [
            {**one, "opt_value": None}
            for one in have.get("extra_dhcp_opts") or ()
            if (one["opt_name"], one.get("ip_version", 4)) not in wanted
        ]
        update["extra_dhcp_opts"] = [*update["extra_dhcp_opts"], *gone]
    if update.get("port_security_enabled") is False:
        update.setdefault("security_groups", [])
        update.setdefault("allowed_address_pairs", [])
    return update


def _agree(context: Any, have: Mapping[str, Any], said: Mapping[str, Any], *, tell: bool) -> None:
    """Record what both tiers agree on, and whether the port has to be reported to central."""
    with db_api.CONTEXT_WRITER.using(context):
        connection = context.session.connection()
        mapping.add(
            connection,
            ResourceType.PORT,
            have["id"],
            directory.get_plugin().site.site,
            project_id=have["project_id"],
            base=said,
        )
        mapping.set_base(connection, have["id"], said)
        if tell:
            journal.record(connection, [IntentKey(CENTRAL, ResourceType.PORT, have["id"])])


def _tell(context: Any, port_id: str) -> None:
    """Record an intent to report a port to central."""
    with db_api.CONTEXT_WRITER.using(context):
        key = IntentKey(CENTRAL, ResourceType.PORT, port_id)
        journal.record(context.session.connection(), [key])


def remove(core: Any, context: Any, port_id: str) -> None:
    """Remove a port.

    Raises:
        InUse: something of this site still needs it.
        Busy: a report of it is under way; or it is to move to another site, and central has not
            received all of its changes yet.
    """
    try:
        core.delete_port(context, port_id, l3_port_check=False)
    except n_exc.PortNotFound:
        pass
    except n_exc.InUse as error:
        raise errors.InUse(f"port {port_id} is in use at this site: {error}") from error
    crash.point("apply.port.removed")


def check_let_go(connection: sa.Connection, port_id: str) -> None:
    """Check that a port which is to move to another site is not needed here.

    Called in the transaction that deletes it, with locking reads: a transaction that is binding it
    comes before or after.

    Raises:
        InUse: it is bound here.
        Busy: changes made here have not been reported yet, and would be lost.
    """
    hosts = connection.scalars(
        sa.select(_BINDINGS.c.host).where(_BINDINGS.c.port_id == port_id).with_for_update()
    ).all()
    if any(hosts):
        raise errors.InUse(
            f"port {port_id} is bound at this site, to {', '.join(filter(None, hosts))}"
        )
    if journal.is_noted(connection, IntentKey(CENTRAL, ResourceType.PORT, port_id)):
        raise errors.Busy(f"port {port_id} was changed at this site; central has yet to be told")


def check_not_under_way(connection: sa.Connection, port_id: str) -> None:
    """Check that no report of a port that is to be removed is on its way to central.

    It says that the port is here. Once this site has removed it, central forgets it, and would
    make it anew when such a report arrives.

    Raises:
        Busy: one is.
    """
    if journal.is_claimed(connection, IntentKey(CENTRAL, ResourceType.PORT, port_id)):
        raise errors.Busy(f"a report of port {port_id} is on its way to central")


#: Both tiers change ports, and merge: no call is guarded. They are fetched by hand, see `Fetching`.
PORT = LocalResource(
    kind=ResourceType.PORT,
    model=models_v2.Port,
    parts={
        models_v2.Port: "id",
        models_v2.IPAllocation: "port_id",
        allowed_address_pair.AllowedAddressPair: "port_id",
        port_security.PortSecurityBinding: "port_id",
        securitygroup.SecurityGroupPortBinding: "port_id",
        dhcp_models.ExtraDhcpOpt: "port_id",
        dns.PortDNS: "port_id",
        uplink_status_propagation.PortUplinkStatusPropagation: "port_id",
        qos_models.QosPortPolicyBinding: "port_id",
    },
    carried=(*SHARED, *HOME, attribute.LOCATION),
    not_found=n_exc.PortNotFound,
    ensure=ensure,
    remove=remove,
)
