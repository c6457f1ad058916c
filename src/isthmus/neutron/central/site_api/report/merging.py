"""Makes of a port at central what its home reports: creates it, or merges the report into it.

What Neutron refuses is left out, attribute by attribute, and the rest is taken.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.federation import merge
from isthmus.federation.port import HOME, SHARED, bind_at_central
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.central import reporting
from isthmus.neutron.central.site_api.comparable import comparable, without_derived
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal
from isthmus.store.tiers import epoch

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
REFUSALS = (
    n_exc.NeutronException,
    n_exc.MultipleExceptions,  # of drivers or callbacks
    db_exc.DBDataError,
    db_exc.DBDuplicateEntry,
    db_exc.DBReferenceError,
)

#: Attributes that were refused, and why.
Refusals = dict[str, errors.IsthmusError]


def create(site: SiteName, state: dict[str, Any]) -> Refusals:
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
    except REFUSALS as error:
        if isinstance(from_any(error), errors.Transient):
            raise
        _require_recovered(admin)
        why = error
    bare = {**body, **{name: [] for name in _OPTIONAL}, "qos_policy_id": None}
    try:
        port = core.create_port(admin, {"port": bare})
    except REFUSALS:
        raise why from None
    # Of each attribute that was left out, apply as much as Neutron accepts.
    return update(site, port, {**state, attribute.BASE: comparable(port)})


def _require_recovered(context: Any) -> None:
    """Refuse nothing of a report while central cannot know yet who has what.

    Raises:
        Busy: it was restored, and the site has to report the port again.
    """
    with reading(context) as connection:
        epoch.require_recovered(connection)


def _to_creation(site: SiteName, state: dict[str, Any]) -> dict[str, Any]:
    """Return the body that creates a port which was created at a site."""
    body = {name: state[name] for name in (*SHARED, *HOME) if name in state}
    body |= {name: state[name] for name in ("id", "network_id", "project_id")}
    body["tenant_id"] = state["project_id"]
    body["fixed_ips"] = without_derived(state["fixed_ips"])
    for name in ("dns_name", "dns_domain"):
        body.setdefault(name, "")
    return {**body, **_binding(site, state)}


def update(site: SiteName, port: dict[str, Any], state: dict[str, Any]) -> Refusals:
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
        except REFUSALS as error:
            ours = from_any(error)
            if isinstance(ours, errors.Overtaken):
                raise ours from error
            if isinstance(ours, errors.Transient) or isinstance(error, n_exc.PortNotFound):
                raise
            _require_recovered(n_context.get_admin_context())
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
