"""The home of a port: which site it is, and how it lets go."""

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.model.site import CENTRAL
from isthmus.operate.cloud import SHOWS_NOTHING, calling, say_under_way


def release_port(api: AdminApi, port: str, *, force: bool) -> Row:
    """Release a port from its home.

    Args:
        api: central.
        port: id or name, as central knows it.
        force: forget the home at once.

    Returns:
        The site mapping as it was: the port and its home.

    Raises:
        NotFound: there is no such port, or it lives nowhere.
        Refused: the caller may not see where ports live.
        Conflict: it is in use there, or that site cannot be reached, and no force is used.
    """
    wanted = api.get_named("port", port, fields=["id"])
    home = get_home(api, wanted["id"], port)
    with calling(wanted["id"], port):
        api.act("site_mapping", home["id"], "release", {"force": force})
    return home


def get_home(api: AdminApi, port_id: str, port: str) -> Row:
    """Return the site mapping of a port; whom an empty list of them tells nothing is refused.

    Raises:
        NotFound: it lives nowhere.
        Refused: the caller may not see where ports live.
    """
    rows = api.list("site_mapping", type="port", resource_id=port_id)
    if not rows:
        if not api.shows_holdings():
            raise errors.Refused(SHOWS_NOTHING.format(CENTRAL))
        raise errors.NotFound(f"port {port} lives nowhere: the first site to use it has it")
    return rows[0]


def say_releasing(api: AdminApi, mapping: Row) -> str:
    """Describe what a port that is released waits for; nothing where its home has let go.

    Args:
        api: central.
        mapping: as `release_port` returned it.

    Raises:
        Refused: the home refused to let go, or the port is used there again.
    """
    site, port_id = mapping["site"], mapping["resource_id"]
    left = api.list("site_mapping", type="port", resource_id=port_id, site=site)
    if not left:
        return ""
    if not left[0]["withdrawn"]:
        raise errors.Conflict(f"the port is used at site {site} again: it stays there")
    jobs = say_under_way(api, site=site, resource_id=port_id)
    return jobs or f"site {site} has yet to say that it has let go"
