"""Assigns ports their homes; `isthmus.federation.home` decides, this module reads its input.

Everything is read behind the lock of the port's own row: its home, its location, its binding and
its groups, so that a report, a change, a delete and another site's request are serialised.
"""

import sqlalchemy as sa
from neutron.plugins.ml2 import models as ml2_models
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation.home import Situation, Step, decide
from isthmus.model.intent import IntentKey, What
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName, SiteState
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.central import shadow, silence
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.trunk import place
from isthmus.neutron.db.session import now
from isthmus.store.delivery import journal
from isthmus.store.ports import home as home_store
from isthmus.store.ports import location
from isthmus.store.tiers import epoch, exit_notice, named_port, registration
from isthmus.store.tiers import site as site_store
from isthmus.store.tiers.locked import LockedObjects

LOG = logging.getLogger(__name__)

_PORT = ResourceType.PORT


def bring(connection: sa.Connection, site: Site, port_id: str) -> SiteName | None:
    """Assign a port its home at a site, or ask its current home to release it.

    The caller commits in both cases, because the release is requested by an intent; where the site
    is its home now, the caller brings along what it needs.

    Returns:
        The home that has to release it first; None where the site is its home.

    Raises:
        NotFound: the port was deleted meanwhile.
        Conflict: it is in use at its home, or that site cannot be reached, or it is a subport of a
            trunk at another site.
        Busy: central was restored and has not recovered.
        Stale: it is the parent of a trunk that has got a subport meanwhile.
    """
    locked = LockedObjects(connection, _PORT, [port_id], alone=True)
    if port_id not in locked.owners:
        raise errors.NotFound(f"port {port_id} was deleted meanwhile")
    home = lock(connection, port_id, project_id=locked.owners[port_id])
    step = decide(site.name, _observe(connection, port_id, home))
    if step is not Step.STAYS:  # otherwise central may have forgotten a site that has it
        epoch.require_recovered(connection)
        place.check_may_come(connection, site.name, port_id)
    if step is Step.REFUSE_BOUND or step is Step.REFUSE_SILENT:
        raise _refusal(port_id, home, step)
    if home is not None and step is Step.ASK:
        home_store.set_leaving(connection, port_id, leaving=True)
        record_event(
            connection,
            What.HOME_ASKED,
            home.site,
            kind=_PORT,
            resource_id=port_id,
            details=f"for site {site.name}",
        )
        place.leave(connection, port_id)
    if home is not None and step in (Step.ASK, Step.WAIT):
        # A repeated request is recorded again, so that an outdated refusal does not persist.
        journal.record(connection, [IntentKey(home.site, _PORT, port_id)])
        return home.site
    if home is not None and step is Step.COMES:  # its home is disabled; told once it is enabled
        home_store.change(connection, port_id, site.name)
        record_event(
            connection,
            What.HOME_MOVED,
            home.site,
            kind=_PORT,
            resource_id=port_id,
            details=f"to site {site.name}",
        )
        place.leave(connection, port_id)
        exit_notice.tell_of_ports(connection, [port_id])
        journal.record(connection, [IntentKey(home.site, _PORT, port_id)])
    elif step is Step.COMES:
        place.check_whole(connection, site.name, port_id)
        home_store.assign(
            connection, port_id, site.name, project_id=locked.owners[port_id], now=now()
        )
        exit_notice.tell_of_ports(connection, [port_id])
    return None


def find(connection: sa.Connection, port_id: str) -> SiteName | None:
    """Return the home of a port, behind the lock of its row; None where it has none."""
    locked = LockedObjects(connection, _PORT, [port_id], alone=True)
    home = lock(connection, port_id, project_id=locked.owners.get(port_id))
    return None if home is None else home.site


def lock(
    connection: sa.Connection, port_id: str, *, project_id: str | None
) -> home_store.Home | None:
    """Return the home of a port and lock it; the caller holds the lock of the port's row.

    Where the home is lost and the location is not, the port lives where it is located: whoever ends
    a home deletes the location first. That is written down again, so that no other site gets it.

    Args:
        connection: of the transaction.
        port_id: the port.
        project_id: the port's owner.
    """
    home = home_store.lock(connection, port_id)
    located = location.list_locations(connection, [port_id]).get(port_id) if home is None else None
    if located is None:
        return home
    LOG.warning("port %s had no home; it is located at site %s", port_id, located.site)
    home_store.assign(connection, port_id, located.site, project_id=project_id, now=now())
    exit_notice.tell_of_ports(connection, [port_id])
    return home_store.Home(located.site, leaving=False)


def welcome(connection: sa.Connection, move: named_port.Move) -> None:
    """Ensure what a port needs at the site where it was found; that may have changed."""
    exit_notice.tell_of_ports(connection, [move.port_id])
    place.leave(connection, move.port_id)
    journal.record(connection, along.bring(connection, {_PORT: [move.port_id]}, [move.new]))


def take_up(connection: sa.Connection, site: SiteName, former: str | None) -> None:
    """Have a site that registers have its ports, with all that they need there.

    Args:
        connection: of the transaction, which then tells the site of everything it should have.
        site: the site.
        former: the registration that it has proven to have had: the ports come back to it that were
            at home there when it was removed.
    """
    holders = [site] if former is None else [site, registration.aside(former)]
    ports = [one for at in holders for one in home_store.peek_at(connection, at)]
    LockedObjects(connection, _PORT, ports, alone=former is not None)  # ports before their homes
    if former is not None:
        registration.take_up_homes(connection, former, site)
        exit_notice.tell_of_homes(connection, site)
    along.bring(connection, {_PORT: ports}, [site])


def release(connection: sa.Connection, port_id: str, *, force: bool) -> SiteName | None:
    """Ask a port's home to release it, on behalf of an operator.

    Args:
        connection: of the transaction.
        port_id: the port.
        force: delete the home at once, whatever it holds.

    Returns:
        The home; None where it has none.

    Raises:
        Conflict: it is in use there or that site cannot be reached, and `force` is not set.
    """
    locked = LockedObjects(connection, _PORT, [port_id], alone=True)
    home = lock(connection, port_id, project_id=locked.owners.get(port_id))
    if home is None:
        return None
    step = Step.COMES if force else decide("", _observe(connection, port_id, home))
    if step is Step.REFUSE_BOUND or step is Step.REFUSE_SILENT:
        raise _refusal(port_id, home, step)
    if step is Step.COMES:  # by force, or because its home is disabled
        home_store.delete(connection, port_id, home.site)
        record_event(
            connection,
            What.HOME_DROPPED,
            home.site,
            kind=_PORT,
            resource_id=port_id,
            details="by force" if force else "",
        )
        exit_notice.tell_of_ports(connection, [port_id])
        shadow.delete_location(connection, port_id)
    else:
        home_store.set_leaving(connection, port_id, leaving=True)
        record_event(connection, What.HOME_ASKED, home.site, kind=_PORT, resource_id=port_id)
    place.leave(connection, port_id)
    journal.record(connection, [IntentKey(home.site, _PORT, port_id)])
    return home.site


def _observe(connection: sa.Connection, port_id: str, home: home_store.Home | None) -> Situation:
    if home is None:
        return Situation(home=None)
    site = site_store.find_by_name(connection, home.site)
    return Situation(
        home=home.site,
        leaving=home.leaving,
        bound=_is_bound(connection, port_id),
        # A site that was removed may come back, and have the port.
        heard=site is not None
        and home.site not in silence.list_silent(connection)
        and not _owes(connection, home.site),
        disabled=site is not None and site.state is SiteState.DISABLED,
    )


def _owes(connection: sa.Connection, site: SiteName) -> bool:
    """Return whether central went on without a site: nothing is delivered to it.

    A plain read: a registration locks its row before it locks ports.
    """
    known = registration.find(connection, site)
    return known is not None and known.owes


def _is_bound(connection: sa.Connection, port_id: str) -> bool:
    if location.list_locations(connection, [port_id]):
        return True
    binding = ml2_models.PortBinding
    hosts = connection.execute(
        sa.select(binding.host).where(binding.port_id == port_id).with_for_update(read=True)
    ).scalars()
    return any(hosts)


def _refusal(port_id: str, home: home_store.Home | None, step: Step) -> errors.Conflict:
    site = home.site if home is not None else None
    if step is Step.REFUSE_BOUND:
        return errors.Conflict(
            f"port {port_id} has its home at site {site}, where it is in use", site=site
        )
    where = f"site {site}, which cannot be reached or has yet to register"
    if site is not None and registration.is_aside(site):
        where = f"a site that was removed ({site})"
    return errors.Conflict(
        f"port {port_id} has its home at {where} and may use it: wait for it to come back, or have "
        f"an operator say `isthmus port release {port_id} --force`",
        site=site,
    )
