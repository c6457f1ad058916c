"""Bundles: everything that a site needs in order to use an object that only central knows.

First it is checked whether the requesting user may see the object at all; nothing is leased or
extended otherwise. The user is known by the token that the site sends along; a site that asks for
itself gets what it is entitled to (`entitled`).
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from oslo_context import context as oslo_context
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation.identity import default_security_group_id
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site
from isthmus.neutron.central import presence
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.resource.registry import ROWS
from isthmus.neutron.central.site_api import state
from isthmus.neutron.central.site_api.belief import entitled
from isthmus.neutron.db.session import reading
from isthmus.store.leases import lease as lease_store
from isthmus.store.tiers import mapping

LOG = logging.getLogger(__name__)

#: Limit of ids in one log line.
_MOST_LOGGED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a site asks for, and on whose behalf."""

    kind: ResourceType
    ids: tuple[str, ...]
    asker: Any | None  #: context of the user, from the user's token; None: the site itself
    show_only: bool = False  #: only show ports: extend nothing, move no home


@dataclass(frozen=True, slots=True)
class Bundle:
    """The answer."""

    items: list[Item]
    refused: list[tuple[str, errors.IsthmusError]]  #: visible, but not available here


def make_bundle(context: Any, site: Site, asked: Asked) -> Bundle:
    """Map the requested objects to a site and return them with everything that they need there."""
    seen = _find_visible(site, asked)
    if asked.show_only:
        shown = ROWS[asked.kind].read([one["id"] for one in seen], site.name)
        return Bundle(state.to_items(asked.kind, shown), [])
    bring = ROWS[asked.kind].bring
    if bring is None:
        raise errors.Invalid(f"no site asks for a {asked.kind} by itself")
    project_id = asked.asker.project_id if asked.asker is not None else None
    brought = bring(context, site, seen, project_id)
    return Bundle(_collect(site, brought.ids), list(brought.refused))


def find_mac(site: Site, network_ids: Collection[str], mac: str, but_for: str | None) -> bool:
    """Return whether another port of a network that is at a site has a MAC.

    Args:
        site: the site.
        network_ids: the network, as a list of one.
        mac: the MAC address.
        but_for: id of the port that may have it.

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
    """List the requested objects that the requesting user may see."""
    asker, ids = asked.asker, list(dict.fromkeys(asked.ids))
    if asker is None:
        asker = n_context.get_admin_context()
        with reading(asker) as connection:
            ids = entitled.find(connection, site.name, asked.kind, ids)
    elif default_security_group_id(asker.project_id or "") in ids:
        presence.default_groups([asker.project_id])
    row = ROWS[asked.kind]
    if row.plugin() is None:  # central does not serve it: there is none
        return []
    getter = getattr(row.plugin(), f"get_{row.resource.member}")
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


def _collect(site: Site, brought: along.Ids) -> list[Item]:
    """Read all objects of the bundle, in the order in which they are created."""
    with reading(n_context.get_admin_context()) as connection:
        ids = along.expand(connection, brought)
        pools = [one for kind, some in ids.items() if ROWS[kind].pool for one in some]
        leases = lease_store.list_leases(connection, pool_ids=pools, site=site.name)
    states = {kind: ROWS[kind].read(ids[kind], site.name) for kind in ids}
    states[ResourceType.LEASE] = {one.id: lease_store.to_state(one) for one in leases}
    return [item for kind in ResourceType for item in state.to_items(kind, states.get(kind, {}))]
