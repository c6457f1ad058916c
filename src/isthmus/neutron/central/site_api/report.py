"""Reports: what sites report of their ports, processed item by item.

Processing is idempotent, also after a crash in the middle. If a port does not exist at central but
still has a site mapping, it was deleted here; it is not recreated, and the site is told that it is
gone.
"""

import contextlib
import functools
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import sqlalchemy as sa
from neutron.quota import QUOTAS
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory
from oslo_db import api as db_api
from oslo_db import exception as db_exc
from oslo_log import log as logging

from isthmus import errors
from isthmus.federation import merge
from isthmus.federation.port import HOME, SHARED, bind_at_central
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model import item as item_form
from isthmus.model.form import is_id
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.central import presence, reporting, shadow
from isthmus.neutron.central.site_api import gateway
from isthmus.neutron.central.site_api.belief import validator
from isthmus.neutron.central.site_api.comparable import comparable, without_derived
from isthmus.neutron.db.guard import Guarded
from isthmus.neutron.db.session import now, reading, writing
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal, refusal
from isthmus.store.leases import named
from isthmus.store.ports import home, location
from isthmus.store.tiers import claim, epoch, excess, mapping
from isthmus.store.tiers.held import Held

LOG = logging.getLogger(__name__)

#: Limit of items of one report: each takes some tenths of a second (measured: 147 to 182 ms CPU).
MOST_ITEMS = 25

_PORT = ResourceType.PORT
#: VIF types of ports that are not bound.
_UNBOUND = frozenset(
    {portbindings.VIF_TYPE_UNBOUND, portbindings.VIF_TYPE_BINDING_FAILED, "", None}
)
#: Attributes without which a port can be created at first.
_OPTIONAL = ("fixed_ips", "security_groups", "allowed_address_pairs", "extra_dhcp_opts")
#: Attributes that a port may release so that something else can be removed at its site.
_FREES = frozenset({"fixed_ips", "security_groups"})

#: What Neutron's methods raise as a refusal; a value that only the database refuses counts too.
_REFUSALS = (
    n_exc.NeutronException,
    n_exc.MultipleExceptions,  # of drivers or callbacks
    db_exc.DBDataError,
    db_exc.DBDuplicateEntry,
    db_exc.DBReferenceError,
)

#: Attributes that were refused, and why.
Refusals = dict[str, errors.IsthmusError]


def take_report(site: Site, sequence: int, items: Iterable[Item]) -> list[ItemResult]:
    """Process a site's report, each item by itself, and of each item what can be accepted."""
    results = []
    for item in items:
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
    with reporting.reported_by(site.name, item.id, sequence):
        with writing(n_context.get_admin_context()):
            pass  # checks whether the batch is late, before anything is read
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
        with contextlib.suppress(n_exc.PortNotFound):
            directory.get_plugin().delete_port(admin, port_id, l3_port_check=False)
        crash.point("central.report.removed")
    with writing(admin) as connection:
        if lives_here:
            home.delete(connection, port_id, site)
        named.end_unborne(connection, site, port_id, ())  # no other site's word
        claim.end(connection, port_id, site)
        refusal.delete(connection, site, port_id)
        # Whether central knew it or not: something that it blocked may be removable now.
        job_store.retry_in_use(connection, site)


def _upsert(site: Site, port_id: str, state: dict[str, Any], left: Refusals) -> Refusals:
    core = directory.get_plugin()
    admin = n_context.get_admin_context()
    with writing(admin) as connection:
        lives_at = mapping.find_home(connection, port_id)
        present = mapping.list_sites(connection, ResourceType.NETWORK, [state["network_id"]])
        going = lives_at is None and excess.is_going(connection, site.name, port_id)
    if lives_at not in (None, site.name):
        _refuse_elsewhere(site.name, port_id, lives_at)
    try:
        port = core.get_port(admin, port_id)
    except n_exc.PortNotFound:
        if lives_at is not None:
            raise errors.NotFound(f"port {port_id} was deleted at central") from None
        if going:
            raise errors.Stale(f"port {port_id} was deleted; its site is not told yet") from None
        _ensure_presence(site, state["network_id"], present.get(state["network_id"], {}))
        # What a site creates bypasses the API's quotas; an excess is reported, and accepted later.
        QUOTAS.quota_limit_check(admin, state["project_id"], port=1)
        left = left | _create(site.name, state)
        stale = False
        _record_created(site.name, port_id)
        crash.point("central.report.created")
    else:
        if lives_at is None:
            raise errors.Conflict(
                f"port {port_id} has no home: it comes to a site that asks for it, not by report"
            )
        crash.point("central.report.read")
        with writing(admin) as connection:  # after the port: what is changed since counts as newer
            stale = bool(home.find_stale(connection, [port_id]))
            restored = home.find_bases(connection, [port_id]).get(port_id) if stale else None
        if stale:
            # The restored state is older than anything that both tiers agreed on; central's changes
            # since the restore are not.
            state = {**state, attribute.BASE: restored or comparable(port)}
    with Guarded(functools.partial(_require_home, site.name, port_id)):
        if lives_at is not None:
            left = left | _update(site.name, port, state)
        if stale:
            with writing(admin) as connection:
                home.end_stale(connection, port_id)
        _follow_status(port_id, state)
    _follow_location(site.name, port_id, state, refused=bool(left))
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
    """Record what both tiers agree on of a port that was created, and that its site reported it."""
    admin = n_context.get_admin_context()
    made = comparable(directory.get_plugin().get_port(admin, port_id))
    with writing(admin) as connection:
        home.set_base(connection, port_id, site, made)
        claim.end(connection, port_id, site)


def _refuse_elsewhere(site: SiteName, port_id: str, lives_at: SiteName | None) -> NoReturn:
    """Refuse a report of a port with another home; the site may have to remove its copy."""
    with writing(n_context.get_admin_context()) as connection:
        # Where central was restored the port may have moved since: homes follow the ports first.
        epoch.require_settled(connection)
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


def _create(site: SiteName, state: dict[str, Any]) -> Refusals:
    """Create a port that was created at a site, leaving out attributes that Neutron refuses.

    Raises:
        NeutronException: it cannot be created at all.
    """
    core = directory.get_plugin()
    admin = n_context.get_admin_context()
    body = _to_creation(site, state)
    try:
        core.create_port(admin, {"port": dict(body)})
        return {}
    except _REFUSALS as error:
        if isinstance(from_any(error), errors.Transient):
            raise
        _require_settled(admin)
        why = error
    bare = {**body, **{name: [] for name in _OPTIONAL}}
    try:
        port = core.create_port(admin, {"port": bare})
    except _REFUSALS:
        raise why from None
    # Of each attribute that was left out, apply as much as Neutron accepts.
    return _update(site, port, {**state, attribute.BASE: comparable(port)})


def _require_settled(context: Any) -> None:
    """Refuse nothing of a report while central cannot know yet who has what.

    Raises:
        Busy: it was restored, and the site has to report the port again.
    """
    with reading(context) as connection:
        epoch.require_settled(connection)


def _to_creation(site: SiteName, state: dict[str, Any]) -> dict[str, Any]:
    """Return the body that creates a port which was created at a site."""
    body = {name: state[name] for name in (*SHARED, *HOME) if name in state}
    body |= {name: state[name] for name in ("id", "network_id", "project_id")}
    body["tenant_id"] = state["project_id"]
    body["fixed_ips"] = without_derived(state["fixed_ips"])
    for name in ("dns_name", "dns_domain"):
        body.setdefault(name, "")
    return {**body, **_binding(site, state)}


def _update(site: SiteName, port: dict[str, Any], state: dict[str, Any]) -> Refusals:
    """Merge a report into a port that central has; return what was refused."""
    base = state.get(attribute.BASE)
    mine = comparable(state)
    theirs = comparable(port)
    merged = merge.merge(None if base is None else merge.normalise(base, SHARED), mine, theirs)
    body = merge.changes(theirs, merged)
    if "extra_dhcp_opts" in body:
        body["extra_dhcp_opts"] = _with_removals(
            port.get("extra_dhcp_opts") or [], body["extra_dhcp_opts"]
        )
    body |= {name: state[name] for name in HOME if name in state and state[name] != port.get(name)}
    binding = _binding(site, state)
    # The first report often precedes the binding at the home: the VIF type comes later.
    if any(value != (port.get(name) or type(value)()) for name, value in binding.items()):
        body |= binding
    left: Refusals = {}
    if body:
        left = _change(port, body, binding)
        crash.point("central.report.updated")
    differs = any(merged[name] != value for name, value in mine.items())
    if differs or _FREES & body.keys():
        with writing(n_context.get_admin_context()) as connection:
            if differs:  # central has changes that the site does not have yet
                journal.record(connection, [IntentKey(site, _PORT, port["id"])])
            if _FREES & body.keys():
                job_store.retry_in_use(connection, site)
    return left


def _change(port: dict[str, Any], body: dict[str, Any], binding: dict[str, Any]) -> Refusals:
    """Update a port at once or, where Neutron refuses that, one attribute after another."""
    if "mac_address" in body and port.get(portbindings.VIF_TYPE) not in _UNBOUND:
        # Its home has changed the MAC, so the port was unbound there meanwhile; Neutron requires
        # that.
        nowhere = {portbindings.HOST_ID: "", portbindings.PROFILE: {}}
        port = _put(port, nowhere)
        body = {**body, **binding}
    refused: Refusals = {}
    for part in (body, *merge.parts(body)):
        try:
            port = _put(port, part)
        except _REFUSALS as error:
            ours = from_any(error)
            if isinstance(ours, errors.Overtaken):
                raise ours from error
            if isinstance(ours, errors.Transient) or isinstance(error, n_exc.PortNotFound):
                raise
            _require_settled(n_context.get_admin_context())
            refused |= dict.fromkeys(part, ours)
        else:
            if part is body:
                return {}
            refused = {name: why for name, why in refused.items() if name not in part}
    return refused


def _put(port: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Update a port that has not changed since it was read; return it as it is then."""
    with reporting.merged_with(comparable(port)):
        changed: dict[str, Any] = directory.get_plugin().update_port(
            n_context.get_admin_context(), port["id"], {"port": dict(body)}
        )
    return changed


def _with_removals(
    before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """List DHCP options as Neutron's update takes them: removed ones have no value."""
    kept = list(after)
    names = {(one["opt_name"], one.get("ip_version", 4)) for one in kept}
    gone = [one for one in before if (one["opt_name"], one.get("ip_version", 4)) not in names]
    return [*kept, *({**one, "opt_value": None} for one in gone)]


def _binding(site: SiteName, state: dict[str, Any]) -> dict[str, Any]:
    vif_type = state.get(portbindings.VIF_TYPE)
    return bind_at_central(
        site,
        state.get(portbindings.HOST_ID) or "",
        state.get(portbindings.PROFILE) or {},
        None if vif_type in _UNBOUND else vif_type,
    )


def _follow_status(port_id: str, state: dict[str, Any]) -> None:
    status = state.get("status")
    if status in (constants.PORT_STATUS_ACTIVE, constants.PORT_STATUS_DOWN):
        directory.get_plugin().update_port_status(n_context.get_admin_context(), port_id, status)


def _follow_location(site: SiteName, port_id: str, state: dict[str, Any], *, refused: bool) -> None:
    """Record where the port is bound, and tell the other sites if that changed."""
    body = state.get(attribute.LOCATION)
    network_id = state["network_id"]
    with writing(n_context.get_admin_context()) as connection:
        held = Held(connection, _PORT, [port_id], alone=True)
        if port_id not in held.owners or site not in held.sites(port_id):
            return  # deleted or moved meanwhile: record nothing
        if held.sites(port_id)[site] and state.get(portbindings.HOST_ID):
            _stay(connection, site, port_id)
        named.end_unborne(connection, site, port_id, _addresses(state))
        before = location.list_locations(connection, [port_id]).get(port_id)
        if body is None:
            changed = before is not None
            if changed:
                location.delete(connection, [port_id])
        else:
            changed = location.record(
                connection,
                location.Location.from_dict(
                    body, port_id=port_id, network_id=network_id, site=site
                ),
            )
        if changed:
            shadow.tell_others(connection, site, port_id, network_id)
        if not refused and refusal.delete(connection, site, port_id):
            # What was refused of it has been released there, and may have blocked a removal.
            job_store.retry_in_use(connection, site)
        crash.point("central.report.before_commit")


def _addresses(state: dict[str, Any]) -> set[tuple[str, int]]:
    """Return the addresses that a site reports of a port, as (subnet, number)."""
    return {
        (one["subnet_id"], int(ipaddress.ip_address(one["ip_address"])))
        for one in state["fixed_ips"]
    }


def _stay(connection: sa.Connection, site: SiteName, port_id: str) -> None:
    """Keep a port at its home, which was asked to release it and has bound it meanwhile."""
    home.set_leaving(connection, port_id, leaving=False)
    journal.record(connection, [IntentKey(site, _PORT, port_id)])
