"""The calling site: identified by its service user, never by the body of a request."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from neutron_lib import context as n_context
from oslo_config import cfg

from isthmus import errors
from isthmus.journal import crash
from isthmus.model.principal import Caller
from isthmus.model.site import CENTRAL, Site, SiteName, SiteState
from isthmus.neutron.api.caller import get_caller, log_refusal
from isthmus.neutron.db import guard
from isthmus.neutron.db.guard import Guarded
from isthmus.neutron.db.session import reading, writing
from isthmus.neutron.db.witness import Look, Witness
from isthmus.neutron.db.witness import find as find_witness
from isthmus.store.tiers import registration
from isthmus.store.tiers import site as site_store


def get_calling_site(context: Any, caller: Caller | None = None) -> Site:
    """Return the site whose service user makes this request.

    Args:
        context: of the request.
        caller: the service user, where the request is on a user's behalf.

    Raises:
        NotFound: the user is not the service user of a site.
        Busy: the site is disabled; it may be enabled again.
    """
    caller = caller or get_caller(context)
    with reading(context) as connection:
        site = site_store.find_by_caller(connection, caller)
    if site is None:
        log_refusal(context, caller, "is not the service user of a site")
        raise errors.NotFound(f"user {caller.user_name!r} is not the service user of a site")
    if site.state is SiteState.DISABLED:
        raise errors.Busy(f"site {site.name} is disabled; an operator has to enable it")
    return site


@contextlib.contextmanager
def while_there(context: Any, name: SiteName) -> Iterator[Site]:
    """Work for a site, and commit nothing of it once an operator has deleted the site.

    Otherwise rows would be left over that nobody owns, or that a site added under the same name
    would inherit.

    Raises:
        NotFound: there is no such site, or it was deleted meanwhile.
    """
    with reading(context) as connection:
        row_id, site = site_store.get_row(connection, name)

    def ask(connection: sa.Connection) -> None:
        if not site_store.lock_row(connection, row_id):
            raise errors.NotFound(f"site {name} was removed")

    with Guarded(ask):
        yield site


@contextlib.contextmanager
def while_heard(
    context: Any, site: Site, said: str | None, *, reports: bool = False
) -> Iterator[None]:
    """Work for the incarnation of a site that registered last.

    An older one may still run, on a database that was restored or copied since. A newer one, or a
    site that was added anew, has to register before central can know what it is entitled to. Once
    another one has registered, or the site is gone, nothing more is committed: what is about to be
    given to the old one, or taken from it, the new one knows nothing of.

    Args:
        context: of the request.
        site: the site.
        said: the incarnation that calls.
        reports: whether it only reports. Nothing else is answered to a site that a restored central
            waits for: an answer tells of leases that the site has returned since the backup.

    Raises:
        Unregistered: it is another one, or central waits for it.
        NotFound: the site was deleted.
    """

    def ask(connection: sa.Connection) -> None:
        _check_incarnation(connection, site, said, reports=reports, latest=True)

    with reading(context) as connection:
        _check_incarnation(connection, site, said, reports=reports, latest=False)
    crash.point("central.call.heard")
    with while_there(context, site.name), Guarded(ask):
        yield


@contextlib.contextmanager
def witnessed() -> Iterator[None]:
    """Work on an answer that a site, or Xjob, will rely on; advance the witness before it goes.

    Else a backup that is younger than the answer would look as new as it. It advances before that,
    too: else a database that goes back to a moment since the last look, after the work has been
    committed and before the answer's look, would look no older than it should.

    Raises:
        Busy: the database has turned out to be older than a witness meanwhile, whoever found that.
            It may not know what was promised since, so this answer is not given.
    """
    before = look().own
    yield
    own = look().own
    if own.life != before.life:
        raise errors.Busy("central has just found that its database was restored: ask again")


def get_witness() -> Witness:
    """Return the witness of this process."""
    return find_witness(Path(cfg.CONF.state_path), CENTRAL)


def look() -> Look:
    """Compare central's database with the witness of this host, and advance both."""
    with guard.unasked():  # this is nobody's work
        return get_witness().advance(lambda: writing(n_context.get_admin_context()))


def _check_incarnation(
    connection: sa.Connection, site: Site, said: str | None, *, reports: bool, latest: bool
) -> None:
    last = registration.find(connection, site.name, latest=latest)
    if last is not None and last.owes:
        raise errors.Unregistered(
            f"central went on without site {site.name}: it has to register before it can call"
        )
    if last is not None and last.waits and not reports:
        raise errors.Unregistered(
            f"central was restored and waits for site {site.name}: it has to register before it "
            "can ask for anything"
        )
    known = last.incarnation if last is not None else None
    if known is None:
        before = (said or "").partition("/")[0]
        if before in ("", site_store.find_row_id(connection, site.name)):
            return  # it is new, and holds nothing
    elif said == known:
        return
    raise errors.Unregistered(
        f"site {site.name} calls as incarnation {said or 'unknown'}, and has registered as "
        f"{known or 'none'}: it has to register before it can call"
    )
