"""How the services of a tier log in at others: a site at central, Xjob everywhere. Pure."""

from collections.abc import Mapping

from isthmus.services import identity
from isthmus.services.render import render_sections


def login_options(user: str, password: str, auth_url: str) -> dict[str, object]:
    """Return the options by which a program logs in as a user of the project for services."""
    return {
        "auth_type": "password",
        "auth_url": auth_url,
        "username": user,
        "password": password,
        "project_name": identity.PROJECT_SERVICE,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }


def site_options(
    site: str,
    *,
    central: str,
    passwords: Mapping[str, str],
    users: Mapping[str, str],
    auth_url: str,
) -> dict[str, object]:
    """Return a site's options of our group: who it is, who carries to it, how it asks central.

    Args:
        site: its name.
        central: the central region.
        passwords: by user name.
        users: ids in Keystone, by name.
        auth_url: the Keystone that the site asks.
    """
    user = identity.site_user(site)
    return {
        "site": site,
        "carrier_user": users[identity.carrier_user(site)],
        "central_region": central,
        **login_options(user, passwords[user], auth_url),
    }


def render_xjob(
    sites: tuple[str, ...], *, central: str, passwords: Mapping[str, str], auth_url: str
) -> str:
    """Write an `xjob.conf`: Xjob's own login, and that of each site's lane.

    Args:
        sites: names of the sites that it carries to.
        central: the central region.
        passwords: by user name.
        auth_url: the Keystone that Xjob asks.
    """
    from isthmus.config.xjob import GROUP, lane_group  # oslo.config takes time to import

    own = login_options(identity.USER_XJOB, passwords[identity.USER_XJOB], auth_url)
    sections: dict[str, dict[str, object]] = {GROUP: {"central_region": central, **own}}
    for site in sites:
        user = identity.carrier_user(site)
        sections[lane_group(site)] = login_options(user, passwords[user], auth_url)
    return render_sections(sections)
