"""Deletion of everything that is kept of a site."""

import sqlalchemy as sa

from isthmus.model.intent import ResourceType
from isthmus.model.lease import PoolKind
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal, refusal
from isthmus.store.delivery import lane as lane_store
from isthmus.store.leases import recall
from isthmus.store.ports import datapath, hypervisor, location
from isthmus.store.sql.tables import DATAPATHS, LEASES, LOCATIONS, SITE_MAPPINGS, SITES
from isthmus.store.tiers import claim, mapping, registration
from isthmus.store.tiers.held import Held


def list_shadowed(connection: sa.Connection, site: SiteName) -> dict[str, set[SiteName]]:
    """List the ports at home at a site and the other sites that hold shadows of them."""
    query = sa.select(LOCATIONS.c.port_id, SITE_MAPPINGS.c.site).join_from(
        LOCATIONS, SITE_MAPPINGS, SITE_MAPPINGS.c.resource_id == LOCATIONS.c.network_id
    )
    query = query.where(
        LOCATIONS.c.site == site, SITE_MAPPINGS.c.type == "network", SITE_MAPPINGS.c.site != site
    )
    found: dict[str, set[SiteName]] = {}
    for port_id, other in connection.execute(query):
        found.setdefault(port_id, set()).add(SiteName(other))
    return found


def forget_site(connection: sa.Connection, site: SiteName, *, welcome: claim.Welcome) -> None:
    """Delete every row that refers to a site, but not the site's own.

    The numbers that it held are set aside: it may still use them. It may be the last one that
    central waits for; see `claim.follow` for `welcome`.
    """
    row_id = connection.scalar(sa.select(SITES.c.id).where(SITES.c.name == site))
    if row_id is not None:
        registration.set_aside(connection, site, row_id)
    registration.forget(connection, site, welcome=welcome)
    location.delete_of_site(connection, site)
    for store in (mapping, refusal, recall, hypervisor):
        store.delete_site(connection, site)
    journal.delete_lanes(connection, [site])
    lane_store.forget(connection, site)
    free_datapaths(connection)


def free_datapaths(connection: sa.Connection) -> None:
    """Free the datapath keys of networks that are at no site, nor at a removed one."""
    present = sa.select(SITE_MAPPINGS.c.resource_id).where(SITE_MAPPINGS.c.type == "network")
    aside = sa.select(LEASES.c.pool_id).where(LEASES.c.kind == PoolKind.PORT_KEY.value)
    unused = sa.select(DATAPATHS.c.network_id).where(
        DATAPATHS.c.network_id.not_in(present), DATAPATHS.c.network_id.not_in(aside)
    )
    for network_id in sorted(connection.execute(unused).scalars().all()):
        # A transaction that extends it holds its row alone: this waits for it, and reads its work.
        if not Held(connection, ResourceType.NETWORK, [network_id], alone=True).sites(network_id):
            datapath.delete(connection, network_id)
