"""Which sites cannot be reached now, and may hold what central does not know of."""

import sqlalchemy as sa
from oslo_config import cfg

from isthmus.config.central import read_central
from isthmus.model.site import Reachability, SiteName, SiteState
from isthmus.store.tiers import site as site_store


def list_able(connection: sa.Connection) -> set[SiteName]:
    """List the sites that can answer now."""
    silent = list_silent(connection)
    return {
        site.name
        for site in site_store.list_sites(connection)
        if site.state is not SiteState.DISABLED and site.name not in silent
    }


def list_silent(connection: sa.Connection) -> set[SiteName]:
    """List the enabled sites that have not answered lately.

    A site that nobody has probed lately, because Xjob is down or the site was just added, counts as
    unreachable too. Times are the database's. One that is still to come was written before its
    clock was set back, and nobody knows how long ago that is.
    """
    longest_s = read_central(cfg.CONF).silent_after_s
    return {
        one.name
        for one in site_store.list_seen(connection)
        if one.state is not SiteState.DISABLED
        and (
            one.reachability is not Reachability.REACHABLE
            or one.seen_ago_s is None
            or abs(one.seen_ago_s) > longest_s
        )
    }
