"""Bundles: all that a site needs in order to use an object that only central knows.

First it is settled whether the person who asks at the site may see the object at all; nothing is
leased and nothing extended for one who may not. Who that is says his own token, which the site
sends along; a site that asks for itself is given what it has a right to (`entitled`).
"""

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.plugins import directory
from oslo_context import context as oslo_context
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation.identity import default_security_group_id
from isthmus.model.intent import ResourceType
from isthmus.model.item import Item
from isthmus.model.site import Site
from isthmus.neutron.central import presence
from isthmus.neutron.central.outgoing import group_closure
from isthmus.neutron.central.site_api import state
from isthmus.neutron.central.site_api.belief import entitled
from isthmus.neutron.db.session import reading
from isthmus.store.leases import lease as lease_store
from isthmus.store.tiers import mapping

LOG = logging.getLogger(__name__)

#: Most ids in one line of the log.
_MOST_LOGGED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a site asks for, and for whom."""

    kind: ResourceType
    ids: tuple[str, ...]
    asker: Any | None  #: context of the person, by his own token; None: the site for itself
    show_only: bool = False  #: ports are only to be shown: nothing is extended and none comes home


@dataclass(frozen=True, slots=True)
class Bundle:
    """The answer."""

    items: list[Item]
    refused: list[tuple[str, errors.IsthmusError]]  #: seen, but not to be had at this site


def make_bundle(context: Any, site: Site, asked: Asked) -> Bundle:
    """Extend what was asked for to a site and return it."""
    seen = _find_visible(site, asked)
    if asked.show_only:
        shown = state.port_states([one["id"] for one in seen])
        return Bundle(state.to_items(ResourceType.PORT, shown), [])
    refused: list[tuple[str, errors.IsthmusError]] = []
    groups: set[str] = set()
    networks: set[str] = set()
    ports: list[dict[str, Any]] = []
    if asked.kind is ResourceType.SECURITY_GROUP:
        groups = {one["id"] for one in seen}
    for one in seen if asked.kind is not ResourceType.SECURITY_GROUP else ():
        network_id = one["id"] if asked.kind is ResourceType.NETWORK else one["network_id"]
        try:
            groups |= _extend_one(context, site, asked, one, network_id)
        except (errors.Refused, errors.Stale) as error:
            refused.append((one["id"], error))
            continue
        networks.add(network_id)
        if asked.kind is ResourceType.PORT:
            ports.append(one)
    if asked.kind is ResourceType.SECURITY_GROUP and groups:
        presence.extend_groups(context, site, groups)
    items = _collect(site, groups, networks, [port["id"] for port in ports])
    return Bundle(items, refused)


def find_mac(site: Site, network_ids: Collection[str], mac: str, but_for: str | None) -> bool:
    """Tell whether a port of a network that is at a site has a MAC, some one port aside.

    Raises:
        NotFound: the network is not at the site.
    """
    port = models_v2.Port
    with reading(n_context.get_admin_context()) as connection:
        here = mapping.peek_ids(connection, ResourceType.NETWORK, site.name, network_ids)
        if not here:
            raise errors.NotFound(f"network {', '.join(network_ids)} is not at site {site.name}")
        query = sa.select(port.id).where(port.network_id.in_(here), port.mac_address == mac)
        return bool(set(connection.scalars(query)) - {but_for})


def _find_visible(site: Site, asked: Asked) -> list[dict[str, Any]]:
    """Read what the asker may see; what he may not is simply not there."""
    asker, ids = asked.asker, list(dict.fromkeys(asked.ids))
    if asker is None:
        asker = n_context.get_admin_context()
        with reading(asker) as connection:
            ids = entitled.find(connection, site.name, asked.kind, ids)
    elif default_security_group_id(asker.project_id or "") in ids:
        presence.default_groups([asker.project_id])
    getter = getattr(directory.get_plugin(), f"get_{asked.kind.value}")
    found = []
    for resource_id in ids:
        with contextlib.suppress(n_exc.NotFound):
            found.append(getter(asker, resource_id))
    if len(found) < len(set(asked.ids)):
        LOG.info(
            "refused: site=%s user=%s request=%s asks on behalf of project %s for %ss that are not "
            "to be seen: %s",
            site.name,
            site.service_user,
            getattr(oslo_context.get_current(), "request_id", None),
            asked.asker.project_id if asked.asker is not None else None,
            asked.kind.value,
            ", ".join(sorted(set(asked.ids) - {one["id"] for one in found})[:_MOST_LOGGED]),
        )
    return found


def _extend_one(
    context: Any, site: Site, asked: Asked, one: dict[str, Any], network_id: str
) -> set[str]:
    """Extend one object's network, and the port if it is one; give the groups that go along."""
    network = state.network_states([network_id], site.name).get(network_id)
    if network is None:
        raise errors.NotFound(f"network {network_id} went in the meantime")
    presence.check(site, network)
    own = asked.asker.project_id if asked.asker is not None else None
    projects = [network["project_id"], own, one.get("project_id")]
    groups = presence.default_groups(projects)
    plan = presence.Presence(
        network_id=network_id,
        group_ids=frozenset(groups),
        port_id=one["id"] if asked.kind is ResourceType.PORT else None,
    )
    return groups | presence.extend(context, site, [plan])


def _collect(
    site: Site, groups: Iterable[str], networks: Collection[str], ports: Collection[str]
) -> list[Item]:
    """Read everything, in the order in which it is made."""
    admin = n_context.get_admin_context()
    subnet_ids = [
        subnet["id"]
        for subnet in (
            directory.get_plugin().get_subnets(
                admin, filters={"network_id": sorted(networks)}, fields=["id"]
            )
            if networks
            else ()
        )
    ]
    with reading(admin) as connection:
        group_ids, address_group_ids = group_closure.expand_groups(connection, groups)
        leases = lease_store.list_leases(
            connection, pool_ids=[*networks, *subnet_ids], site=site.name
        )
    kinds = ResourceType
    lease_items = [Item(kinds.LEASE, one.id, lease_store.to_state(one)) for one in leases]
    return [
        *state.to_items(kinds.ADDRESS_GROUP, state.address_group_states(address_group_ids)),
        *state.to_items(kinds.SECURITY_GROUP, state.group_states(group_ids)),
        *state.to_items(kinds.NETWORK, state.network_states(networks, site.name)),
        *lease_items,
        *state.to_items(kinds.SUBNET, state.subnet_states(subnet_ids, site.name)),
        *state.to_items(kinds.PORT, state.port_states(ports)),
    ]
