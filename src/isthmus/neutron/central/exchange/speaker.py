"""Who speaks: a site is known by its service user, never by what a body says."""

from typing import Any

from isthmus import errors
from isthmus.model.site import Site, SiteState
from isthmus.neutron.db.session import reading
from isthmus.store import site as site_store

#: Service users live in Keystone's default domain; a name elsewhere is somebody else's.
_DOMAIN = "default"


def get_speaker(context: Any) -> Site:
    """Get the site whose service user makes this request.

    Raises:
        NotFound: the user speaks for no site.
        Busy: the site is disabled; it may come back.
    """
    user = context.user_name
    domain = context.user_domain_id or _DOMAIN
    with reading(context) as connection:
        site = site_store.find_by_user(connection, user) if user and domain == _DOMAIN else None
    if site is None:
        raise errors.NotFound(f"user {user!r} speaks for no site")
    if site.state is SiteState.DISABLED:
        raise errors.Busy(f"site {site.name} is disabled; an operator has to enable it")
    return site
