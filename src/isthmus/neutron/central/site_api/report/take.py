"""Reports: what sites report of their ports, processed item by item.

Processing is idempotent, also after a crash in the middle. If a port does not exist at central but
still has a site mapping, it was deleted here; it is not recreated, and the site is told that it is
gone.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import sqlalchemy as sa
from neutron.quota import QUOTAS
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.plugins import directory
from oslo_db import api as db_api
from oslo_db import exception as db_exc
from oslo_log import log as logging

from isthmus import errors
from isthmus.journal import crash
from isthmus.journal.turn import Turn
from isthmus.model import attribute
from isthmus.model import item as item_form
from isthmus.model.form import is_id
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.central import home as homes
from isthmus.neutron.central import presence, reporting
from isthmus.neutron.central.site_api.belief import validator
from isthmus.neutron.central.site_api.comparable import comparable
from isthmus.neutron.central.site_api.report import following, gateway, merging
from isthmus.neutron.central.site_api.report.merging import Refusals
from isthmus.neutron.db.guard import Guarded
from isthmus.neutron.db.session import now, writing
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal, refusal
from isthmus.store.leases import named
from isthmus.store.ports import home
from isthmus.store.tiers import epoch, excess, mapping, named_port

LOG = logging.getLogger(__name__)

#: Limit of items of one report: each takes some tenths of a second (measured: 147 to 182 ms CPU).
MOST_ITEMS = 25

_PORT = ResourceType.PORT


def take_report(site: Site, sequence: int, items: Iterable[Item]) -> list[ItemResult]:
    """Process a site's report, each item by itself, and of each item what can be accepted.

    What is not reached in time has no result.
    """
    results = []
    for item in Turn().take(items):
        result = _take_one(site, sequence, item)
        _keep(site.name, result)
        results.append(result)
    crash.point("central.report.taken")
    return results


def _take_one(site: Site, sequence: int, item: Item) -> ItemResult:
    """Process one item; the boundary of the extension, so that no error affects the other items."""
    try:
        left = _take(site, sequence, item)
        for reason in left.values():
            validator.log_refused(site.name, item, reason)
        if left:
            return item_form.refused_in_part(item, left, _kept(item.id, left))
    except Exception as error:
        ours = from_any(error)
        validator.log_refused(site.name, item, ours)
        if isinstance(ours, errors.Broken):
            LOG.exception("%s %s of site %s could not be processed", item.type, item.id, site.name)
        return item_form.refused(item, ours)
    return item_form.taken(item)


def _kept(port_id: str, left: Refusals) -> dict[str, Any]:
    """Return central's values of the attributes that it refused."""
    with contextlib.suppress(n_exc.PortNotFound):
        port = directory.get_plugin().get_port(n_context.get_admin_context(), port_id)
        return {name: value for name, value in comparable(port).items() if name in left}
    return {}


def _keep(site: SiteName, result: ItemResult) -> None:
    """Record a refusal for operators; transient failures are not recorded."""
    if result.taken or isinstance(errors.from_code(result.code, ""), errors.Transient):
        return
    if not is_id(result.id):
        return  # it names no object; the log has it
    with writing(n_context.get_admin_context()) as connection:
        refusal.record(connection, site, result, now=now())


#: A transaction that loses a deadlock, or collides with another report's insert, is retried five
#: times, after 0.1 to 1 s; so is a report of a port that is changed while it is merged.
_again = db_api.wrap_db_retry(
    retry_interval=0.1,
    max_retries=5,
    max_retry_interval=1,
    retry_on_deadlock=True,
    exception_checker=lambda error: isinstance(error, db_exc.DBDuplicateEntry | errors.Overtaken),
)


@_again
def _take(site: Site, sequence: int, item: Item) -> Refusals:
    if gateway.take(site, sequence, item):
        return {}
    state, left = validator.check(site.name, item)
    status = following.read_status(state or {})
    with reporting.reported_by(site.name, item.id, sequence, status):
        if state is None:
            _remove(site.name, item.id)
            return {}
        return _upsert(site, item.id, state, left)


def _remove(site: SiteName, port_id: str) -> None:
    admin = n_context.get_admin_context()
    with writing(admin) as connection:
        lives_here = mapping.find_home(connection, port_id) == site
    # Otherwise it is central's own, or has moved away from this site.
    if lives_here:
        trunks = directory.get_plugin("trunk")
        if trunks is not None:
            trunks.release_port(admin, port_id)
        with contextlib.suppress(n_exc.PortNotFound):
            directory.get_plugin().delete_port(admin, port_id, l3_port_check=False)
        crash.point("central.report.removed")
    with writing(admin) as connection:
        if lives_here:
            home.delete(connection, port_id, site)
        named.end_unborne(connection, site, port_id, ())  # no other site's word
        named_port.end(connection, port_id, site)
        refusal.delete(connection, site, port_id)
        # Whether central knew it or not: something that it blocked may be removable now.
        job_store.retry_in_use(connection, site)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What central knows of a port that a site reports."""

    home: SiteName | None
    present: Mapping[SiteName, bool]  #: the sites of its network, and whether it is withdrawn there
    going: bool  #: it was deleted, and its site is not told yet
    stale: bool  #: its home has not reported it since central was restored
    restored: Mapping[str, Any] | None  #: how it came back then, if it was changed since


def _read_known(connection: sa.Connection, site: SiteName, port_id: str, network_id: str) -> _Known:
    """Read it after the port itself: what is changed since counts as newer than the restore."""
    at = mapping.find_home(connection, port_id)
    present = mapping.list_sites(connection, ResourceType.NETWORK, [network_id])
    stale = at is not None and bool(home.find_stale(connection, [port_id]))
    return _Known(
        home=at,
        present=present.get(network_id, {}),
        going=at is None and excess.is_going(connection, site, port_id),
        stale=stale,
        restored=home.find_bases(connection, [port_id]).get(port_id) if stale else None,
    )


def _find_port(port_id: str) -> dict[str, Any] | None:
    with contextlib.suppress(n_exc.PortNotFound):
        found: dict[str, Any] = directory.get_plugin().get_port(
            n_context.get_admin_context(), port_id
        )
        return found
    return None


def _upsert(site: Site, port_id: str, state: dict[str, Any], left: Refusals) -> Refusals:
    admin = n_context.get_admin_context()
    port = _find_port(port_id)
    crash.point("central.report.sought")
    with writing(admin) as connection:  # its commit asks whether the batch is late
        known = _read_known(connection, site.name, port_id, state["network_id"])
    lives_at = known.home
    if lives_at is None and port is not None:
        with writing(admin) as connection:
            lives_at = homes.find(connection, port_id)  # by where it is, if central lost its home
    if lives_at not in (None, site.name):
        _refuse_elsewhere(site.name, port_id, lives_at)
    if port is None:
        crash.point("central.report.unknown")
        with _made_once(port_id):
            left = left | _create(site, port_id, state, known)
    else:
        if lives_at is None:
            raise errors.Conflict(
                f"port {port_id} has no home: it comes to a site that asks for it, not by report"
            )
        crash.point("central.report.read")
    with Guarded(functools.partial(_require_home, site.name, port_id)):
        if port is not None:
            if known.stale:
                # The restored state is older than anything that both tiers agreed on; central's
                # changes since the restore are not.
                state = {**state, attribute.BASE: known.restored or comparable(port)}
            left = left | merging.update(site.name, port, state)
        following.follow_status(port_id, state)
    following.follow_location(site.name, port_id, state, refused=bool(left))
    return left


@contextlib.contextmanager
def _made_once(port_id: str) -> Iterator[None]:
    """Make a port that central does not have, unless the same report, come twice, has made it.

    Whatever was refused then (its address and its MAC are taken, the quota is used up, it has a
    home already and must have been deleted) was refused because of the very port.

    Raises:
        Overtaken: it is there; the report is to be read as one of a port that central has.
    """
    try:
        yield
    except (errors.Refused, *merging.REFUSALS) as error:
        if _find_port(port_id) is None:
            raise
        raise errors.Overtaken(f"port {port_id} was made by another report meanwhile") from error


def _create(site: Site, port_id: str, state: dict[str, Any], known: _Known) -> Refusals:
    """Create a port that was created at a site; return what was refused of it.

    Raises:
        NotFound: it was deleted at central, or its network is not at the site.
        Stale: it was deleted, and its site is not told yet.
    """
    if known.home is not None:
        raise errors.NotFound(f"port {port_id} was deleted at central")
    if known.going:
        raise errors.Stale(f"port {port_id} was deleted; its site is not told yet")
    _ensure_presence(site, state["network_id"], known.present)
    # What a site creates bypasses the API's quotas; an excess is reported, and accepted later.
    QUOTAS.quota_limit_check(n_context.get_admin_context(), state["project_id"], port=1)
    left = merging.create(site.name, state)
    _record_created(site.name, port_id)
    crash.point("central.report.created")
    return left


def _require_home(site: SiteName, port_id: str, connection: sa.Connection) -> None:
    """Let a report change a port, whatever of it, only while the site is the port's home.

    Raises:
        Conflict: it is not, any more.
    """
    lives_at = mapping.find_home(connection, port_id)
    if lives_at != site:
        raise errors.Conflict(f"port {port_id} does not live at site {site}", site=lives_at)


def _record_created(site: SiteName, port_id: str) -> None:
    """Record what both tiers agree on of a port that was created."""
    admin = n_context.get_admin_context()
    made = comparable(directory.get_plugin().get_port(admin, port_id))
    with writing(admin) as connection:
        home.set_base(connection, port_id, site, made)


def _refuse_elsewhere(site: SiteName, port_id: str, lives_at: SiteName | None) -> NoReturn:
    """Refuse a report of a port with another home; the site may have to remove its copy."""
    with writing(n_context.get_admin_context()) as connection:
        # Where central was restored the port may have moved since: homes follow the ports first.
        epoch.require_recovered(connection)
        journal.record(connection, [IntentKey(site, _PORT, port_id)])
    raise errors.Conflict(f"port {port_id} has its home at site {lives_at}", site=lives_at)


def _ensure_presence(site: Site, network_id: str, present: Mapping[SiteName, bool]) -> None:
    """Ensure that a network is at the site; one that was being withdrawn is in use after all.

    Raises:
        NotFound: it is not at the site.
    """
    withdrawn = present.get(site.name)
    if withdrawn is None:
        raise errors.NotFound(f"network {network_id} is not at site {site.name}, as central knows")
    if withdrawn:
        plan = presence.Presence(network_id=network_id, group_ids=frozenset())
        presence.extend(n_context.get_admin_context(), site, plan)
