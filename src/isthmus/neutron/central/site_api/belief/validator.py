"""Checks a site's report against what central itself allocated, before anything is written.

Reads the input; `isthmus.federation.port_report` decides. Every refusal is logged by the caller
(`log_refused`), whether this module, IPAM or Neutron finds the reason.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db import rbac_db_models as rbac
from neutron.db.models import allowed_address_pair as pair_model
from neutron.db.models import l3, securitygroup
from neutron.db.qos import models as qos_models
from neutron_lib import context as n_context
from oslo_config import cfg
from oslo_context import context as oslo_context
from oslo_log import log as logging

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.federation import port_report as rules
from isthmus.model import attribute
from isthmus.model.item import Item, find_fault
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.db.session import reading
from isthmus.store.leases import lease as lease_store
from isthmus.store.ports import home, hypervisor, location
from isthmus.store.tiers import mapping, named_port
from isthmus.store.tiers import site as site_store

LOG = logging.getLogger(__name__)

#: Longest JSON of one item: of a port whose every list is as long as `port_report` lets it be,
#: state and base have 240 KB together.
MOST_BYTES = 256 << 10
_REQUIRED = ("id", "network_id", "project_id", "mac_address", "fixed_ips")
_EVERYBODY = "*"


def log_refused(site: SiteName, item: Item, error: errors.IsthmusError) -> None:
    """Log that a report was refused, for whom and why."""
    by = oslo_context.get_current()
    LOG.warning(
        "refused: site=%s user=%s request=%s report of %s %s: %s",
        site,
        getattr(by, "user_id", None),
        getattr(by, "request_id", None),
        item.type.value,
        item.id[:64],
        error.message,
    )


def check(
    site: SiteName, item: Item
) -> tuple[dict[str, Any] | None, dict[str, errors.IsthmusError]]:
    """Check that a site may report an item.

    Returns:
        The part of the state that may be accepted (None for a deleted port), and the refused
        attributes with reasons.

    Raises:
        Refused, Stale: it may not, or not now.
    """
    if item.type is not ResourceType.PORT:
        raise errors.Invalid(f"a site reports ports, not a {item.type}")
    fault = find_fault(item, MOST_BYTES)
    if fault is not None:
        raise fault
    if item.state is None:
        return None, {}  # only its home may report that it is deleted
    state = dict(item.state)
    missing = [name for name in _REQUIRED if name not in state]
    if missing or state["id"] != item.id:
        raise errors.Invalid(f"the report of port {item.id} lacks {', '.join(missing) or 'its id'}")
    rules.check_form(item.id, state)
    with reading(n_context.get_admin_context()) as connection:
        facts = _read_facts(connection, site, state)
        if state.get(attribute.BASE) is None and facts.exists:
            # The site has not received the answer to its first report; central has stored it.
            state[attribute.BASE] = home.find_bases(connection, [item.id]).get(item.id)
    try:
        rules.check_report(site, item.id, state, facts)
    except errors.Conflict:
        if facts.home in (None, site):
            raise
        return state, {}  # the caller refuses it, and the site removes its copy
    left = rules.find_refused(item.id, state, facts)
    for name in left:
        if name == "fixed_ips" or not facts.exists:
            state[name] = rules.without_missing(name, state, facts)
        else:
            del state[name]  # central's value stays
    return state, left


def check_gateway(site: SiteName, item: Item, network_id: str) -> rules.ReportedLocation | None:
    """Check that a site may say where the gateway of a router is; return that.

    Raises:
        Refused, Stale: it may not, or not now.
    """
    fault = find_fault(item, MOST_BYTES)
    if fault is not None:
        raise fault
    located = rules.parse_location(item.id, (item.state or {}).get(attribute.LOCATION))
    if located is None:
        return None
    with reading(n_context.get_admin_context()) as connection:
        leases = lease_store.list_leases(
            connection, kind=PoolKind.PORT_KEY, pool_ids=[network_id], site=site
        )
        found = _read_location(connection, site, item.id, network_id, located)
    facts = rules.Facts(
        home=None,
        exists=True,
        mapped=True,
        owns_network=False,
        may_use_network=False,
        usable_groups=frozenset(),
        keys=tuple(lease.block for lease in leases),
        **found,
    )
    rules.check_location(site, item.id, located, facts)
    return located


def _read_facts(connection: sa.Connection, site: SiteName, state: Mapping[str, Any]) -> rules.Facts:
    port_id, network_id = state["id"], state["network_id"]
    located = rules.parse_location(port_id, state.get(attribute.LOCATION))
    port = connection.execute(
        sa.select(
            models_v2.Port.network_id,
            models_v2.Port.device_owner,
            models_v2.Port.device_id,
            models_v2.Port.project_id,
        ).where(models_v2.Port.id == port_id)
    ).one_or_none()
    # The owner of a port that central has is not the site's to set: its rights depend on it.
    project = state["project_id"] if port is None else port.project_id or ""
    network = connection.execute(
        sa.select(models_v2.Network.project_id).where(models_v2.Network.id == network_id)
    ).one_or_none()
    owner = network.project_id if network is not None else None
    # Plain reads suffice: later writes are guarded by locks and constraints of their own.
    homes = mapping.peek_sites(connection, ResourceType.PORT, [port_id])
    mapped = mapping.peek_sites(connection, ResourceType.NETWORK, [network_id])
    groups = frozenset(state.get("security_groups") or ())
    lives_at = next(iter(homes.get(port_id, {})), None)
    if lives_at is None and port is not None:  # a home that is lost (`central.home.lock`)
        known = location.peek_locations(connection, [port_id]).get(port_id)
        lives_at = known.site if known is not None else None
    leases = lease_store.list_leases(
        connection, kind=PoolKind.PORT_KEY, pool_ids=[network_id], site=site
    )
    trusted = read_central(cfg.CONF).service_projects
    device = state.get("device_id", port.device_id if port is not None else None)
    owns = owner is not None and (owner == project or project in trusted)
    facts: dict[str, Any] = {
        "home": lives_at,
        "exists": port is not None,
        "named_by": named_port.find_other(connection, port_id, site) if port is None else None,
        "network_id": port.network_id if port is not None else None,
        "device_owner": (port.device_owner or "") if port is not None else "",
        "of_router": _is_router(connection, device),
        "groups": _groups_on(connection, port_id) if port is not None else frozenset(),
        "pairs": _pairs_on(connection, port_id) if port is not None else frozenset(),
        "network_exists": network is not None,
        "mapped": site in mapped.get(network_id, {}),
        "owns_network": owns,
        "may_use_network": owns or _is_shared(connection, rbac.NetworkRBAC, [network_id], project),
        "missing_subnets": _missing_subnets(connection, state, network_id),
        "usable_groups": _usable_groups(connection, groups, project),
        "policy": _policy_on(connection, port_id) if port is not None else frozenset(),
        "usable_policy": _usable_policy(connection, rules.policy_of(state), project),
        "keys": tuple(lease.block for lease in leases),
    }
    if located is not None:
        facts |= _read_location(connection, site, port_id, network_id, located)
    return rules.Facts(**facts)


def _read_location(
    connection: sa.Connection,
    site: SiteName,
    port_id: str,
    network_id: str,
    located: rules.ReportedLocation,
) -> dict[str, Any]:
    said = location.Location(
        port_id=port_id,
        network_id=network_id,
        site=site,
        chassis=located.chassis,
        hostname=located.hostname,
        encap_ip=located.encap_ip,
        port_key=located.port_key,
    )
    own = site_store.find_by_name(connection, site)
    known = location.peek_locations(connection, [port_id]).get(port_id)
    found: dict[str, Any] = {"prefixes": own.tunnel_prefixes if own is not None else ()}
    if known == said:
        return found  # it was checked when it was new
    return {
        **found,
        "key_holder": location.find_key_holder(connection, said),
        "hypervisor_of": hypervisor.find_owner(connection, site, located.chassis, located.encap_ip),
        "prefix_of": next(
            (
                other.name
                for other in site_store.list_sites(connection)
                if other.name != site and rules.lies_in(located.encap_ip, other.tunnel_prefixes)
            ),
            None,
        ),
    }


def _is_router(connection: sa.Connection, device_id: str | None) -> bool:
    query = sa.select(l3.Router.id).where(l3.Router.id == (device_id or ""))
    return connection.execute(query).first() is not None


def _missing_subnets(
    connection: sa.Connection, state: Mapping[str, Any], network_id: str
) -> frozenset[str]:
    """Return the subnets of a port's addresses that were deleted at central."""
    named = {str(one["subnet_id"]) for one in state["fixed_ips"]}
    subnet = models_v2.Subnet
    query = sa.select(subnet.id).where(
        subnet.id.in_(sorted(named)), subnet.network_id == network_id
    )
    return frozenset(named - set(connection.scalars(query)))


def _groups_on(connection: sa.Connection, port_id: str) -> frozenset[str]:
    binding = securitygroup.SecurityGroupPortBinding
    query = sa.select(binding.security_group_id).where(binding.port_id == port_id)
    return frozenset(connection.scalars(query))


def _pairs_on(connection: sa.Connection, port_id: str) -> frozenset[tuple[str, str]]:
    pair = pair_model.AllowedAddressPair
    mac = connection.scalar(
        sa.select(models_v2.Port.mac_address).where(models_v2.Port.id == port_id)
    )
    rows = connection.execute(
        sa.select(pair.ip_address, pair.mac_address).where(pair.port_id == port_id)
    )
    pairs = [{"ip_address": row.ip_address, "mac_address": str(row.mac_address)} for row in rows]
    return rules.pairs_of({"mac_address": str(mac), "allowed_address_pairs": pairs})


def _usable_groups(
    connection: sa.Connection, group_ids: frozenset[str], project: str
) -> frozenset[str]:
    group = securitygroup.SecurityGroup
    query = sa.select(group.id).where(group.id.in_(sorted(group_ids)), group.project_id == project)
    own = frozenset(connection.scalars(query))
    shared = {
        one
        for one in group_ids - own
        if _is_shared(connection, rbac.SecurityGroupRBAC, [one], project)
    }
    return own | shared


def _policy_on(connection: sa.Connection, port_id: str) -> frozenset[str]:
    binding = qos_models.QosPortPolicyBinding
    query = sa.select(binding.policy_id).where(binding.port_id == port_id)
    return frozenset(connection.scalars(query))


def _usable_policy(
    connection: sa.Connection, policy_ids: frozenset[str], project: str
) -> frozenset[str]:
    if not policy_ids:
        return policy_ids
    policy = qos_models.QosPolicy
    query = sa.select(policy.id).where(
        policy.id.in_(sorted(policy_ids)), policy.project_id == project
    )
    own = frozenset(connection.scalars(query))
    left = sorted(policy_ids - own)
    shared = left and _is_shared(connection, rbac.QosPolicyRBAC, left, project)
    return policy_ids if shared else own


def _is_shared(connection: sa.Connection, model: Any, ids: list[str], project: str) -> bool:
    query = sa.select(model.id).where(
        model.object_id.in_(ids),
        model.target_project.in_([project, _EVERYBODY]),
        model.action == rbac.ACCESS_SHARED,
    )
    return connection.execute(query.limit(1)).first() is not None
