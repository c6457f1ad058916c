"""What objects take along to a site: what they need there besides themselves.

One table says it, step by step: a network its subnets and its QoS policy, a router the one of its
gateway, a port its policy, its security groups and the trunk that it is the parent of, a group the
groups and address groups that its rules refer to, or a rule would refer to nothing. By whichever
way an object comes to a site (asked for, extended ahead, found there after a restore, back with a
site that was removed), `bring` maps it, and what it needs.

What is needed is read as currently committed (locking reads), level by level, each behind the lock
of the objects that need it (`isthmus.store.tiers.locked`): a rule that is added meanwhile is either
seen here or tells the site in its own transaction. The caller holds the first ones.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import securitygroup
from neutron.db.qos import models as qos
from neutron.services.trunk import models as trunks

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.provider_network import segmented
from isthmus.neutron.db.session import now
from isthmus.store.tiers.locked import LockedObjects

Ids = Mapping[ResourceType, Collection[str]]

#: Ids in one IN (...).
_CHUNK = 500


def list_subnets(connection: sa.Connection, network_ids: Collection[str]) -> set[str]:
    """List the subnets of networks, as currently committed (a locking read)."""
    subnet = models_v2.Subnet
    return _select(connection, subnet.id, subnet.network_id, network_ids)


def _of_networks(connection: sa.Connection, ids: Collection[str]) -> Ids:
    bound = qos.QosNetworkPolicyBinding
    return {
        ResourceType.SUBNET: list_subnets(connection, ids),
        ResourceType.QOS_POLICY: _select(connection, bound.policy_id, bound.network_id, ids),
    }


def _of_ports(connection: sa.Connection, ids: Collection[str]) -> Ids:
    member, bound = securitygroup.SecurityGroupPortBinding, qos.QosPortPolicyBinding
    trunk = trunks.Trunk
    return {
        ResourceType.SECURITY_GROUP: _select(
            connection, member.security_group_id, member.port_id, ids
        ),
        ResourceType.QOS_POLICY: _select(connection, bound.policy_id, bound.port_id, ids),
        ResourceType.TRUNK: _select(connection, trunk.id, trunk.port_id, ids),
    }


def _of_routers(connection: sa.Connection, ids: Collection[str]) -> Ids:
    bound = qos.QosRouterGatewayIPPolicyBinding
    return {
        ResourceType.QOS_POLICY: _select(connection, bound.policy_id, bound.router_id, ids),
    }


def _of_groups(connection: sa.Connection, ids: Collection[str]) -> Ids:
    rule = securitygroup.SecurityGroupRule
    names = (rule.remote_group_id, rule.remote_address_group_id)
    groups, address_groups = (
        _select(connection, name, rule.security_group_id, ids, name.is_not(None)) for name in names
    )
    return {ResourceType.SECURITY_GROUP: groups, ResourceType.ADDRESS_GROUP: address_groups}


#: What objects of a type need, by the type; one step. Other types need nothing.
NEEDS: Mapping[ResourceType, Callable[[sa.Connection, Collection[str]], Ids]] = {
    ResourceType.NETWORK: _of_networks,
    ResourceType.ROUTER: _of_routers,
    ResourceType.PORT: _of_ports,
    ResourceType.SECURITY_GROUP: _of_groups,
}


def expand(connection: sa.Connection, ids: Ids) -> dict[ResourceType, set[str]]:
    """Add to objects everything that they take along to a site."""
    found: dict[ResourceType, set[str]] = {}
    for level in _levels(connection, ids):
        for kind, some in level.items():
            found.setdefault(kind, set()).update(some)
    return found


def bring(connection: sa.Connection, ids: Ids, sites: Collection[SiteName]) -> set[IntentKey]:
    """Map to sites everything that objects need there, and the objects themselves.

    Not ports: their homes are the caller's to set.

    Args:
        connection: of the transaction, which holds those objects.
        ids: the objects.
        sites: where they are, or come.

    Returns:
        Keys of what a site did not have yet.
    """
    keys: set[IntentKey] = set()
    if not sites:
        return keys
    for level in _levels(connection, ids):
        for kind, some in level.items():
            if kind is not ResourceType.PORT:
                keys |= _map_missing(connection, kind, some, sites)
    return keys


def _levels(connection: sa.Connection, ids: Ids) -> Iterator[dict[ResourceType, set[str]]]:
    """Yield objects, then what they need, and so on; each level is read when it is asked for."""
    known: dict[ResourceType, set[str]] = {}
    fresh = {kind: set(some) for kind, some in ids.items() if some}
    while fresh:
        yield fresh
        for kind, some in fresh.items():
            known.setdefault(kind, set()).update(some)
        named: dict[ResourceType, set[str]] = {}
        for kind, some in fresh.items():
            if kind in NEEDS:
                for other, more in NEEDS[kind](connection, some).items():
                    named.setdefault(other, set()).update(more)
        left = {kind: some - known.get(kind, set()) for kind, some in named.items()}
        fresh = {kind: some for kind, some in left.items() if some}


def _select(
    connection: sa.Connection,
    wanted: Any,
    column: Any,
    ids: Iterable[str],
    *more: sa.ColumnElement[bool],
) -> set[str]:
    """Select what rows name whose column has one of these ids, as currently committed."""
    every, found = sorted(ids), set()
    for start in range(0, len(every), _CHUNK):
        query = sa.select(wanted).where(column.in_(every[start : start + _CHUNK]), *more)
        found |= set(connection.scalars(query.with_for_update(read=True)))
    return found


def _map_missing(
    connection: sa.Connection, kind: ResourceType, ids: set[str], sites: Collection[SiteName]
) -> set[IntentKey]:
    """Map objects to those of some sites that do not have them; locks only those exclusively."""
    locked = LockedObjects(connection, kind, ids)
    missing = {site: ids - locked.at(site) for site in sites if ids - locked.at(site)}
    if kind is ResourceType.SUBNET:
        missing = {
            site: left
            for site, some in missing.items()
            if (left := some - segmented.find_elsewhere(connection, site, some))
        }
    if not missing:
        return set()
    alone = LockedObjects(connection, kind, set().union(*missing.values()), alone=True)
    for site, some in missing.items():
        alone.map_to(site, some, now=now())
    return {IntentKey(site, kind, one) for site, some in missing.items() for one in some}
