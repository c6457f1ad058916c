"""Networks that a registering site has: which can be there, and that they are recorded."""

import random
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import exceptions as n_exc
from neutron_lib.plugins import directory
from oslo_log import log as logging

from isthmus import errors
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site
from isthmus.neutron.central import presence
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.provider_network import where
from isthmus.neutron.central.router import joined
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import journal
from isthmus.store.ports import datapath
from isthmus.store.tiers import mapping

LOG = logging.getLogger(__name__)

#: Most networks that one registration brings to a site by ports that its OVN alone knows.
MOST_ADOPTED = 2000
#: Ids in one IN (...).
_CHUNK = 500


def adopt(
    context: Any, site: Site, network_ids: Collection[str], datapaths: Mapping[str, int]
) -> None:
    """Record that networks are at a site whose OVN has them, where both have forgotten that.

    What is at the site already, or is no network at all, costs one query. Of too many others some
    are taken, whichever it be, so that those which may not be at the site keep none from it that
    may.

    Args:
        context: an administrator's.
        site: the site.
        network_ids: the networks.
        datapaths: their tunnel keys there, of those that it knows.
    """
    with reading(context) as connection:
        fresh = _list_absent(connection, site, network_ids)
    if len(fresh) > MOST_ADOPTED:
        LOG.warning("Site %s may have %d networks more: some of them now", site.name, len(fresh))
        fresh = random.sample(fresh, MOST_ADOPTED)
    for network_id in sorted(fresh):
        try:
            check_may_be_at(context, site, network_id)
            with writing(context) as connection:
                ensure_present(connection, site, datapaths, network_id)
        except (errors.Refused, n_exc.NetworkNotFound) as error:
            LOG.info("Network %s is not taken to be at site %s: %s", network_id, site.name, error)


def _list_absent(connection: sa.Connection, site: Site, network_ids: Collection[str]) -> list[str]:
    """List which of these networks exist and are not at a site, by a plain read."""
    ids, found = sorted(network_ids), list[str]()
    for start in range(0, len(ids), _CHUNK):
        here = mapping.select_ids(ResourceType.NETWORK, site.name, withdrawn=False)
        query = sa.select(models_v2.Network.id).where(
            models_v2.Network.id.in_(ids[start : start + _CHUNK]), models_v2.Network.id.not_in(here)
        )
        found += connection.scalars(query)
    return found


def list_used(
    context: Any, site: Site, port_ids: Collection[str], addresses: Collection[tuple[str, int]]
) -> list[str]:
    """List the networks that are withdrawn from a site and have ports there.

    Nothing is withdrawn from where ports are (`admin.presence`). So a central that was restored
    has what was undone since its backup.

    Args:
        context: an administrator's.
        site: the site.
        port_ids: the ports that it names.
        addresses: (subnet, number) of those, of ports that central may have forgotten too.
    """
    there, at = set(port_ids), {subnet_id for subnet_id, _ in addresses}
    with reading(context) as connection:
        everything = set(connection.scalars(mapping.select_ids(ResourceType.NETWORK, site.name)))
        stay = mapping.select_ids(ResourceType.NETWORK, site.name, withdrawn=False)
        used, ids = set[str](), sorted(everything.difference(connection.scalars(stay)))
        for start in range(0, len(ids), _CHUNK):
            for model, named in ((models_v2.Port, there), (models_v2.Subnet, at)):
                query = sa.select(model.id, model.network_id).where(
                    model.network_id.in_(ids[start : start + _CHUNK])
                )
                used |= {row.network_id for row in connection.execute(query) if row.id in named}
    return sorted(used)


def check_may_be_at(context: Any, site: Site, network_id: str) -> None:
    """Check that a network can ever have been at a site.

    Raises:
        NetworkNotFound: there is none.
        Refused: its type, its hints or its fabric exclude the site.
    """
    network = directory.get_plugin().get_network(context, network_id)
    with reading(context) as connection:
        where.check_may_be_at(connection, site, network)


def find_network(connection: sa.Connection, kind: PoolKind, pool_id: str) -> str:
    """Return the network of a pool.

    Raises:
        NotFound: there is no such subnet.
    """
    if kind is PoolKind.PORT_KEY:
        return pool_id
    subnet = models_v2.Subnet
    found = connection.scalar(sa.select(subnet.network_id).where(subnet.id == pool_id))
    if found is None:
        raise errors.NotFound(f"there is no subnet {pool_id}")
    return str(found)


def ensure_present(
    connection: sa.Connection, site: Site, datapaths: Mapping[str, int], network_id: str
) -> None:
    """Record that a network is at a site again, where central has lost that, or takes it away.

    Args:
        connection: of the transaction.
        site: the site.
        datapaths: tunnel keys that the site has for networks, by id.
        network_id: the network.

    Raises:
        NotFound: there is no such network any more.
    """
    locked = joined.lock(connection, [network_id])
    if network_id not in locked.locked_networks.owners:
        raise errors.NotFound(f"there is no network {network_id}")
    if locked.locked_networks.sites(network_id).get(site.name) is False:
        return  # and not where it was about to leave when the backup was made: it is there
    key = datapaths.get(network_id)
    unknown = key is not None and datapath.find_key(connection, network_id) is None
    if key is not None and unknown and not datapath.adopt(connection, network_id, key):
        LOG.error(
            "Network %s has tunnel key %d at site %s, and gets another one: that is taken",
            network_id,
            key,
            site.name,
        )
    datapath.ensure_key(connection, network_id)
    news = along.bring(connection, {ResourceType.NETWORK: [network_id]}, [site.name])
    journal.record(connection, news)
    # Routers come along; where else their networks have to be its sites will say.
    if locked.routers:
        presence.spread(connection, [network_id], extends=False)
