"""Having a site compared with what it should hold, now, and seeing it through."""

import time
import uuid
from collections.abc import Callable

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.model.form import counted
from isthmus.model.intent import RenewalState
from isthmus.operate.cloud import Tell, wait_until_done
from isthmus.operate.site import get_site


def request_resync(api: AdminApi, site: str, *, network: str | None = None) -> Row:
    """Have a site compared with what it should hold; a worker of central does it.

    Args:
        api: of central.
        site: name of the site.
        network: id or name of the only network that is compared; an id may be of one that central
            has no more. None for all that the site has.

    Raises:
        NotFound: there is no such site, or no such network.
        Conflict: the site is disabled, or too many wait for it.
    """
    name = get_site(api, site)["name"]
    body = {"site": name}
    if network is not None:
        body["network_id"] = _find_network(api, network)
    return api.create("site_renewal", body)


def wait_resynced(
    api: AdminApi,
    request: Row,
    *,
    wait_s: float,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Row:
    """Wait until a site was compared and has what it lacked.

    A central that does not answer now is asked again while there is time.

    Args:
        api: of central.
        request: as it was answered.
        wait_s: how long.
        tell: called before each further look with what is waited for, and the seconds left.
        clock: gives seconds that only grow.
        pause: waits for some seconds.

    Returns:
        The request as it ended.

    Raises:
        Refused: a tier refused to be compared, or the site something that it lacked; or the request
            is gone.
        TimedOut: the time was too short; the request goes on.
    """
    row = request

    def look() -> str:
        nonlocal row
        try:
            row = api.get("site_renewal", row["id"])
        except errors.NotFound as error:
            raise errors.NotFound(
                f"the request is gone: site {row['site']} was deleted, or central was restored"
            ) from error
        return explain(row)

    def hint() -> str:
        waits = row["state"] == RenewalState.WAITING
        return (
            f"{'See that isthmus-xjob runs. ' if waits else ''}It goes on; look again with the "
            f"same command, or with isthmus job list --site {row['site']}"
        )

    wait_until_done(look, wait_s=wait_s, tell=tell, hint=hint, clock=clock, pause=pause)
    return _check(row)


def explain(row: Row) -> str:
    """Describe what a renewal waits for; nothing where it has ended, and nothing of it is left."""
    site = row["site"]
    if row["state"] == RenewalState.WAITING:
        return (
            f"no Xjob of central has begun to compare site {site} yet (one after the other, in the "
            "order in which they were asked for)"
        )
    if row["state"] == RenewalState.COMPARING:
        if row["last_error"]:
            return f"site {site} is not compared now: {row['last_error']}"
        return (
            f"site {site} is being compared: "
            f"{counted(row['pages'], 'page')}, {counted(row['noted'], 'difference')}"
        )
    if row["state"] == RenewalState.DONE and row["jobs"]:
        return f"site {site} was compared: {counted(row['jobs'], 'job')} under way"
    return ""


def _check(row: Row) -> Row:
    """Return a renewal that has ended well.

    Raises:
        Refused: it has not.
    """
    site = row["site"]
    if row["state"] == RenewalState.FAILED:
        raise errors.Refused(f"site {site} cannot be compared: {row['last_error']}")
    if row["parked"]:
        raise errors.Refused(
            f"site {site} refused {row['parked']} of what it lacks: see "
            f"isthmus job list --site {site} --state parked"
        )
    return row


def _find_network(api: AdminApi, network: str) -> str:
    try:
        return str(api.get_named("network", network)["id"])
    except errors.NotFound:
        try:
            return str(uuid.UUID(network))
        except ValueError:
            pass
        raise
