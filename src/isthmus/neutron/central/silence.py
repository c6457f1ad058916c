"""Which sites cannot be reached now, and may hold what central does not know of."""

import sqlalchemy as sa
from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.model.resource import ResourceType
from isthmus.model.site import Reachability, SiteName, SiteState
from isthmus.store.tiers import site as site_store
from isthmus.store.tiers.locked import LockedObjects


def list_able(connection: sa.Connection) -> set[SiteName]:
    """List the sites that can answer now."""
    silent = list_silent(connection)
    return {
        site.name
        for site in site_store.list_sites(connection)
        if site.state is not SiteState.DISABLED and site.name not in silent
    }


def require_heard(connection: sa.Connection, word: str, resource_id: str, network_id: str) -> None:
    """Refuse to remove what a site that cannot be reached may have ports on.

    As currently committed, and neither changes before the transaction ends: not where the network
    is present, nor which sites are heard. Sites are locked before objects, as by their calls.

    Args:
        connection: of the transaction.
        word: what is to be removed, for the message.
        resource_id: its id.
        network_id: its network, or itself.

    Raises:
        InUse: there is such a site.
    """
    silent = list_silent(connection, latest=True)
    network = LockedObjects(connection, ResourceType.NETWORK, [network_id], alone=word == "network")
    having = sorted(silent & network.sites(network_id).keys())
    if having:
        raise errors.InUse(
            f"{word} {resource_id} is present at {', '.join(having)}, which cannot be reached and "
            "may have ports on it that central has not heard of: wait for it to come back, or "
            "disable the site"
        )


def list_silent(connection: sa.Connection, *, latest: bool = False) -> set[SiteName]:
    """List the enabled sites that have not answered lately.

    A site that nobody has probed lately, because Xjob is down or the site was just added, counts as
    unreachable too. Times are the database's. One that is still to come was written before its
    clock was set back, and nobody knows how long ago that is.

    Args:
        connection: of the transaction.
        latest: by a locking read, because something is decided by it.
    """
    longest_s = read_central(cfg.CONF).silent_after_s
    return {
        one.name
        for one in site_store.list_seen(connection, latest=latest)
        if one.state is not SiteState.DISABLED
        and (
            one.reachability is not Reachability.REACHABLE
            or one.seen_ago_s is None
            or abs(one.seen_ago_s) > longest_s
        )
    }
