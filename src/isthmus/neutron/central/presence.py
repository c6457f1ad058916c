"""Extending networks to sites: everything that the first use needs, in one transaction.

The network's presence, its datapath key, its leases, the site mappings of its subnets and groups,
and an intent for each of its ports at other sites, so that the site gets their shadows.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models.external_net import ExternalNetwork as _External
from neutron_lib import context as n_context
from neutron_lib.plugins import directory
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation.identity import default_security_group_id
from isthmus.journal import crash
from isthmus.model.intent import IntentKey, What
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.central import home
from isthmus.neutron.central.leases import at_site
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.provider_network import segmented, where
from isthmus.neutron.central.router import answered, exit_decision, joined
from isthmus.neutron.db import leased
from isthmus.neutron.db.session import now, reading, writing
from isthmus.store.delivery import journal
from isthmus.store.ports import datapath, location
from isthmus.store.tiers import mapping
from isthmus.store.tiers.locked import LockedObjects

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What is to be extended to a site with one network."""

    network_id: str
    group_ids: frozenset[str]  #: security groups that go along
    port_id: str | None = None  #: a port of it whose home becomes the site
    #: Whether to tell the site by intents, because it did not ask. They are recorded in the same
    #: transaction, so that whatever is mapped to a site is also on its way there.
    told: bool = False


@dataclass(frozen=True, slots=True)
class Brought:
    """The outcome of a site's request for objects."""

    #: What is at the site now, without what each object takes along.
    ids: Mapping[ResourceType, Collection[str]]
    refused: Sequence[tuple[str, errors.IsthmusError]] = ()  #: visible, but not available here


def get_allowed(site: Site, network_id: str) -> dict[str, Any]:
    """Return a network as an administrator sees it, if it is or may be at a site.

    Raises:
        NotFound: there is no such network.
        Unsupported: its type cannot be stretched.
        Conflict: its hints exclude the site, or the site accepts no new networks.
    """
    lister = directory.get_plugin().get_networks
    found = lister(n_context.get_admin_context(), filters={"id": [network_id]})
    if not found:
        raise errors.NotFound(f"there is no network {network_id}")
    network: dict[str, Any] = found[0]
    with reading(n_context.get_admin_context()) as connection:
        if mapping.peek_ids(connection, ResourceType.NETWORK, site.name, [network_id]):
            where.check_type(network)
        else:
            where.check_new_at(connection, site, network)
    return network


def bring(
    context: Any,
    site: Site,
    seen: Sequence[tuple[str, Mapping[str, Any]]],
    project_id: str | None,
    *,
    ports: bool = False,
) -> Brought:
    """Extend the networks of objects to the site that asked for them.

    Args:
        context: an administrator's.
        site: the site.
        seen: network id and object, of each object.
        project_id: of the requesting project; None where the site asks for itself.
        ports: whether the objects are ports, whose home becomes the site.
    """
    ids: dict[ResourceType, set[str]] = {}
    refused: list[tuple[str, errors.IsthmusError]] = []
    for network_id, one in seen:
        port_id = one["id"] if ports else None
        try:
            network = get_allowed(site, network_id)
            groups = default_groups([network["project_id"], project_id, one.get("project_id")])
            plan = Presence(network_id=network_id, group_ids=frozenset(groups), port_id=port_id)
            extend(context, site, plan)
        except (errors.Refused, errors.Stale) as error:
            refused.append((one["id"], error))
            continue
        ids.setdefault(ResourceType.SECURITY_GROUP, set()).update(groups)
        ids.setdefault(ResourceType.NETWORK, set()).add(network_id)
        if port_id is not None:
            ids.setdefault(ResourceType.PORT, set()).add(port_id)
    return Brought(ids, refused)


def extend(context: Any, site: Site, presence: Presence) -> None:
    """Extend a network to a site, with its port if there is one; idempotent.

    Raises:
        Exhausted: no datapath key, port key or address is left.
        NotFound: the network or port was deleted meanwhile.
        Conflict: the port has its home elsewhere and stays there.
        Stale: the port has its home elsewhere, which was asked to release it.
    """
    moving_from: SiteName | None = None
    with writing(context) as connection:
        locked = joined.lock(connection, [presence.network_id])
        if presence.port_id is not None:
            segmented.require_reached(connection, site.name, presence.port_id)
            moving_from = home.bring(connection, site, presence.port_id)
        if moving_from is None:
            is_new = _extend(connection, locked.locked_networks, site.name, presence)
            if locked.routers:
                spread(connection, [presence.network_id], anew=is_new)
        crash.point("central.bundle.before_commit")
    crash.point("central.bundle.committed")
    if moving_from is not None:  # after the commit: the request to release it must persist
        raise errors.Stale(
            f"port {presence.port_id} is moving: site {moving_from} has been asked to release it; "
            "try again in a moment",
            site=moving_from,
        )


def _extend(
    connection: sa.Connection, networks: LockedObjects, site: SiteName, presence: Presence
) -> bool:
    """Extend a locked network; return whether it was not at the site, or about to leave it."""
    network_id = presence.network_id
    withdrawn = networks.sites(network_id).get(site)  # None: never; True: withdrawn
    datapath.ensure_key(connection, network_id)
    ids: dict[ResourceType, Collection[str]] = {
        ResourceType.NETWORK: [network_id],
        ResourceType.SECURITY_GROUP: presence.group_ids,
    }
    if presence.port_id is not None:
        ids[ResourceType.PORT] = [presence.port_id]
    news = along.bring(connection, ids, [site])
    if withdrawn is not False:
        record_event(
            connection, What.EXTENDED, site, kind=ResourceType.NETWORK, resource_id=network_id
        )
        shadows = location.select_shadows(at=site, network_id=network_id)
        journal.record_selected(connection, ResourceType.SHADOW, shadows)
    at_site.ensure(connection, PoolKind.PORT_KEY, network_id, site)
    external = _is_external(connection, network_id)
    subnets = _subnets(connection, site, network_id)
    for subnet in subnets:
        if not external and leased.needs_leases(subnet):
            at_site.ensure(connection, PoolKind.SUBNET, subnet["id"], site)
    if presence.told or withdrawn is True:  # its removal may be in progress
        told = news if presence.told else set()
        told.add(IntentKey(site, ResourceType.NETWORK, network_id))
        told |= {IntentKey(site, ResourceType.SUBNET, subnet["id"]) for subnet in subnets}
        journal.record(connection, told)
    return withdrawn is not False


def extend_within(connection: sa.Connection, name: SiteName, network_ids: Collection[str]) -> None:
    """Extend networks to a site, where ports come by a change of central's, and have it told.

    Args:
        connection: of the transaction that changes them.
        name: of the site.
        network_ids: the networks.

    Raises:
        Conflict: one of them cannot be at the site.
        Unsupported: one is of a type that cannot be stretched.
    """
    component = joined.lock(connection, network_ids)
    site = joined.list_sites(connection)[name]
    missing = [
        one for one in network_ids if component.locked_networks.sites(one).get(name) is not False
    ]
    for network_id in sorted(missing):
        network = joined.describe_network(connection, network_id)
        where.check_new_at(connection, site, network)
        groups = frozenset({default_security_group_id(network["project_id"])})
        plan = Presence(network_id=network_id, group_ids=groups, told=True)
        _extend(connection, component.locked_networks, name, plan)
    if missing and component.routers:
        spread(connection, missing)


def extend_ahead(site: Site, network: Mapping[str, Any]) -> None:
    """Extend a network to a site that has not asked for it, and have the site told.

    Args:
        site: the site; the caller works for it `while_there`.
        network: the network, as an administrator sees it.

    Raises:
        Exhausted: no datapath key or port key is left.
        NotFound: the network was deleted meanwhile.
    """
    groups = default_groups([network["project_id"]])
    plan = Presence(network_id=network["id"], group_ids=frozenset(groups), told=True)
    extend(n_context.get_admin_context(), site, plan)


def spread(
    connection: sa.Connection,
    network_ids: Collection[str],
    router_ids: Collection[str] = (),
    *,
    extends: bool = True,
    anew: bool = True,
) -> None:
    """Extend routers, and the networks that they join, to all sites where they have to be.

    Sites are told by intents; who asked for one of the networks does not wait for the others.

    Args:
        connection: of the transaction that extends a network or joins it to a router.
        network_ids: those networks.
        router_ids: routers of which an interface or gateway came or went, or has another site now.
        extends: whether to extend networks; not while a restored central learns from its sites
            where they are.
        anew: whether the exits of all these routers are decided anew, and all their sites told;
            otherwise of those alone that come to another site, or leave one. Each port that a site
            asks for gets here.

    Raises:
        Conflict: a network cannot be where a router needs it.
        Unsupported: it is of a type that cannot be stretched.
    """
    component = joined.lock(connection, network_ids, router_ids)
    if not component.routers:
        return
    sites = joined.list_sites(connection)
    reach = component.plan(sites.values())
    missing = [
        (joined.describe_network(connection, one), sites[name])
        for one, name in reach.missing
        if extends
    ]
    for network, site in missing:
        _check_joined(connection, network, site)
    if extends and (anew or missing):
        answered.check_once(connection, component, reach)
    for network, site in missing:
        groups = frozenset({default_security_group_id(network["project_id"])})
        plan = Presence(network_id=network["id"], group_ids=groups, told=True)
        _extend(connection, component.locked_networks, site.name, plan)
    # A router that is there already has another interface then, gateway or not.
    keys = [
        IntentKey(site.name, ResourceType.ROUTER, router.id)
        for router in component.routers
        for network, site in missing
        if network["id"] in router.network_ids
    ]
    changed = set(reach.routers) if anew else {key.id for key in keys}
    for router_id, wanted in reach.routers.items():
        have = component.sites_of(router_id)
        if wanted != have:
            changed.add(router_id)
        for name in wanted - have:
            component.locked_routers.map_to(name, [router_id], now=now())
            record_event(
                connection, What.EXTENDED, name, kind=ResourceType.ROUTER, resource_id=router_id
            )
        if wanted - have:
            keys += along.bring(connection, {ResourceType.ROUTER: [router_id]}, wanted - have)
        for name in have - wanted:
            component.locked_routers.withdraw(name, [router_id])
            record_event(
                connection, What.WITHDRAWN, name, kind=ResourceType.ROUTER, resource_id=router_id
            )
        keys += [IntentKey(name, ResourceType.ROUTER, router_id) for name in wanted ^ have]
    keys += exit_decision.follow(connection, changed)
    journal.record(connection, keys)


def follow_zones(connection: sa.Connection, site: SiteName) -> None:
    """Map routers with gateways to the sites where they have to be once a site serves other zones.

    One whose networks cannot follow stays where it is, and its sites are told what is decided now.

    Args:
        connection: of the transaction that changed the zones.
        site: the site.
    """
    for router_id in sorted(exit_decision.find_around(connection, site)):
        try:
            spread(connection, (), [router_id])
        except errors.Refused as error:
            LOG.warning("Router %s stays where it is: %s", router_id, error.message)
        journal.record(connection, exit_decision.follow(connection, [router_id]))


def _check_joined(connection: sa.Connection, network: dict[str, Any], site: Site) -> None:
    """Check that a network may follow a router to a site.

    Raises:
        Unsupported, Conflict: it may not; says that a router is the reason.
    """
    try:
        where.check_new_at(connection, site, network)
    except errors.Refused as error:
        raise type(error)(
            f"a router joins network {network['id']} with networks that are at site {site.name}, "
            f"where it would have to be as well: {error.message}"
        ) from error


def default_groups(project_ids: Iterable[str | None]) -> set[str]:
    """Ensure that projects have their default security groups and return the ids."""
    core = directory.get_plugin()
    admin = n_context.get_admin_context()
    return {
        group_id
        for project_id in {one for one in project_ids if one}
        if (group_id := core._ensure_default_security_group(admin, project_id))
    }


def _is_external(connection: sa.Connection, network_id: str) -> bool:
    """Return whether central gives out a network's addresses: to gateways and floating IPs.

    A site that has to make a port on it all the same asks for a lease then.
    """
    query = sa.select(_External.network_id).where(_External.network_id == network_id)
    return connection.scalar(query) is not None


def _subnets(connection: sa.Connection, site: SiteName, network_id: str) -> list[Any]:
    """List the subnets of a network, those on segments that a site does not have left out."""
    subnet = models_v2.Subnet
    query = sa.select(*leased.COLUMNS).where(subnet.network_id == network_id)
    query = query.order_by(subnet.id).with_for_update(read=True)
    found = [dict(row._mapping) for row in connection.execute(query)]
    elsewhere = segmented.find_elsewhere(connection, site, [one["id"] for one in found])
    return [one for one in found if one["id"] not in elsewhere]
