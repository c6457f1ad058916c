"""Sites: create, list, show, update, delete."""

import dataclasses
import ipaddress
from typing import Any

from neutron_lib.db import api as db_api
from oslo_log import log as logging

from isthmus import errors
from isthmus.model.form import counted, is_id
from isthmus.model.intent import IntentKey, What
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, Reachability, Site, SiteName, SiteState
from isthmus.neutron.api import listing
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import home, presence
from isthmus.neutron.central.provider_network import fabric
from isthmus.neutron.central.site_api.registration import recover
from isthmus.neutron.db.session import now, reading, writing
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal, refusal, renewal
from isthmus.store.tiers import epoch, exit_notice, forget, mapping, registration
from isthmus.store.tiers import site as site_store
from neutron import policy

LOG = logging.getLogger(__name__)

#: What `update_site` may change.
_CHANGEABLE = (
    "region",
    "availability_zones",
    "state",
    "service_user",
    "tunnel_prefixes",
    "fabrics",
    "description",
)
#: Most tunnel prefixes of one site.
_MOST_PREFIXES = 64
#: Most shared fabrics of one site, and the longest name that Neutron takes for a physical network.
_MOST_FABRICS, _LONGEST = 64, 64


class SiteApi:
    """The sites of the cloud."""

    def get_sites(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List sites, each with its backlog."""
        with translated(), reading(context) as connection:
            rows = site_store.list_rows(connection, filters or {}, listing.to_page(**paging))
            names = [SiteName(row["name"]) for row in rows]
            counts = job_store.count_lanes(connection, names)
            refused = refusal.count(connection)
            waiting = set(epoch.list_waiting(connection))
            due = {name: registration.count_ports_due(connection, name) for name in names}
        for row in rows:
            row["waits_for"] = (
                "central was restored and this site has yet to register"
                if row["name"] in waiting
                else ""
            )
            row["ports_due"] = due[SiteName(row["name"])]
            count = counts.get(SiteName(row["name"]))
            row["backlog"] = count.backlog if count else 0
            # What the site retries because central refused it counts too: an operator has to look
            # at it.
            row["parked"] = (count.parked if count else 0) + refused.get(SiteName(row["name"]), 0)
        if "holds" in (fields or ()):  # costs more than all the others
            rows = [
                one for one in rows if policy.check(context, "get_site", one, pluralized="sites")
            ]
            with translated(), reading(context) as connection:
                if len(rows) > 1:
                    raise errors.Invalid("holds is shown of one site: filter by its id or name")
                for row in rows:
                    row["holds"] = dataclasses.asdict(forget.count_holds(connection, row["name"]))
        return listing.to_rows(rows, fields)

    def get_site(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a site; accepts id or name."""
        with translated():
            return listing.get_one(self.get_sites, context, "site", _row_id(context, id), fields)

    def create_site(self, context: Any, site: dict[str, Any]) -> listing.Row:
        """Add a site."""
        body = site["site"]
        with translated():
            new = _to_site(body, SiteName(body["name"]))
            with writing(context) as connection:
                epoch.read(connection)  # lock order: as in `epoch.begin`
                site_id = site_store.insert(connection, new, now=now())
                registration.expect(connection, new.name, site_id)
                record_event(
                    connection, What.SITE_CREATED, new.name, details=f"region {new.region}"
                )
            return listing.get_one(self.get_sites, context, "site", site_id, None)

    def update_site(self, context: Any, id: str, site: dict[str, Any]) -> listing.Row:
        """Change a site."""
        with translated():
            site_id = _row_id(context, id)
            with writing(context) as connection:
                before = site_store.lock(connection, site_id)
                wanted = _change(before, site["site"])
                fabric.check_fabrics(connection, before, wanted)
                site_store.update(connection, site_id, wanted, now=now())
                if wanted.state is SiteState.DISABLED:
                    renewal.end_of_disabled(connection, wanted.name)
                if wanted.state != before.state:
                    exit_notice.tell_of_site(connection, wanted.name)
                if set(wanted.availability_zones) != set(before.availability_zones):
                    presence.follow_zones(connection, wanted.name)
                record_event(
                    connection, What.SITE_CHANGED, wanted.name, details=_describe(before, wanted)
                )
            return listing.get_one(self.get_sites, context, "site", site_id, None)

    def _get_for_action(self, context: Any, id: str, rule: str) -> tuple[str, listing.Row]:
        """Return a site's id and row to who may act on it; Neutron asks no policy of actions.

        Raises:
            NotFound: there is none, or none that the caller may see.
            PolicyNotAuthorized: the rule forbids it.
        """
        site_id = _row_id(context, id)
        row = listing.get_one(self.get_sites, context, "site", site_id, None)
        if not policy.check(context, "get_site", row, pluralized="sites"):
            raise errors.NotFound(f"there is no site {id}")
        policy.enforce(context, rule, row, pluralized="sites")
        return site_id, row

    def go_on_without(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Allocate numbers though this site has not registered since central was restored."""
        with translated():
            site_id, row = self._get_for_action(context, id, "update_site")
            with writing(context.elevated()) as connection:
                registration.go_on_without(connection, SiteName(row["name"]), welcome=home.welcome)
                record_event(connection, What.SITE_GONE_WITHOUT, row["name"])
            _recover(context)
            row = listing.get_one(self.get_sites, context, "site", site_id, None)
        return {"site": row}

    def delete_site(self, context: Any, id: str) -> None:
        """Delete a site that holds nothing, or a disabled site with everything it held."""
        with translated():
            site_id = _row_id(context, id)
            listing.get_one(self.get_sites, context, "site", site_id, None)
            _delete(context, site_id, None)
            _recover(context)  # it may have been the last that central waited for

    def remove_site(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Delete a site as `delete_site` does, if it still holds just what the caller was shown.

        The body has that as `holds`.
        """
        with translated():
            site_id, row = self._get_for_action(context, id, "delete_site")
            shown = (body or {}).get("holds")
            if not isinstance(shown, dict):
                raise errors.Invalid("holds must be what GET of the site says with ?fields=holds")
            _delete(context.elevated(), site_id, shown)
            _recover(context)
        return {"site": row}

    def return_lease(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Tell a site what it has of a lease, the id of which is in the body: nothing, maybe.

        An intent like those that recall leases. What the site has beyond that it forgets.
        """
        with translated():
            site_id, row = self._get_for_action(context, id, "update_site")
            lease_id = (body or {}).get("lease_id")
            if not is_id(lease_id):
                raise errors.Invalid("lease_id must be the id of a lease")
            with writing(context.elevated()) as connection:
                own = epoch.read(connection)
                site = site_store.lock(connection, site_id)
                if site.state is SiteState.DISABLED:
                    raise errors.Conflict(
                        f"site {site.name} is disabled, so nobody sends to it: enable it first"
                    )
                known = registration.find(connection, site.name, latest=True)
                if not own.recovered or (known is not None and (known.waits or known.owes)):
                    raise errors.Busy(
                        f"which leases are those of site {site.name} is decided when all that "
                        "central waits for have registered: see isthmus status"
                    )
                key = IntentKey(site.name, ResourceType.LEASE, str(lease_id))
                journal.record(connection, [key])
                record_event(
                    connection, What.LEASE_CORRECTED, site.name, details=f"lease {lease_id}"
                )
        return {"site": row}


def _recover(context: Any) -> None:
    """Have central recover if it waits for no site any more; what was asked for is done by then.

    If that failed the call, Neutron would make it once more, for a site that is not there.
    """
    try:
        recover(context.elevated())
    except Exception:
        LOG.exception("Whether central waits for nobody any more is looked at with the next hello")


@db_api.retry_if_session_inactive()
def _delete(context: Any, site_id: str, shown: dict[str, Any] | None) -> None:
    """Delete a site.

    Args:
        context: of the request, or an administrator's.
        site_id: id of its row.
        shown: what a person was shown of what it holds; None where nobody was.

    Raises:
        NotFound: there is none.
        InUse: it holds objects and is not disabled.
        Conflict: it holds other than was shown.
    """
    with writing(context) as connection:
        # First, because calls of the site may be in progress, and in the same lock order as
        # theirs.
        epoch.read(connection)
        site = site_store.lock(connection, site_id)
        held = mapping.count_at(connection, site.name)
        if held and site.state is not SiteState.DISABLED:
            raise errors.InUse(
                f"site {site.name} holds {counted(held, 'object')}: drain it, or disable it "
                "to have central forget what it holds"
            )
        if shown is not None:
            forget.lock_site(connection, site.name)
            found = dataclasses.asdict(forget.count_holds(connection, site.name, latest=True))
            if found != shown:
                said = ", ".join(f"{count} {name}" for name, count in found.items())
                raise errors.Conflict(
                    f"site {site.name} holds other than was shown, so nothing is deleted; now: "
                    + said.replace("_", " ")
                )
        forget.forget_site(connection, site.name, welcome=home.welcome)
        site_store.delete(connection, site_id)
        record_event(
            connection, What.SITE_DELETED, site.name, details=f"with {counted(held, 'object')}"
        )


def _describe(before: Site, after: Site) -> str:
    """Describe what a request changed of a site. Pure."""
    changes = []
    for name in _CHANGEABLE:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes.append(f"{name} from {_show(old)} to {_show(new)}".replace("_", " "))
    return ", ".join(changes) or "nothing"


def _show(value: Any) -> str:
    return (", ".join(value) if isinstance(value, tuple) else str(value)) or "nothing"


def _row_id(context: Any, id_or_name: str) -> str:
    with reading(context) as connection:
        return site_store.find_row_id(connection, id_or_name) or id_or_name


def _change(site: Site, body: dict[str, Any]) -> Site:
    """Return a site with what a request changes of it."""
    before = {name: getattr(site, name) for name in _CHANGEABLE}
    before["availability_zones"] = list(site.availability_zones)
    before["tunnel_prefixes"] = list(site.tunnel_prefixes)
    before["fabrics"] = list(site.fabrics)
    changed = {name: value for name, value in body.items() if name in _CHANGEABLE}
    return _to_site(before | changed, site.name)


def _to_site(body: dict[str, Any], name: SiteName) -> Site:
    zones = body["availability_zones"]
    if name == CENTRAL:
        raise errors.Invalid(f"no site can be called {CENTRAL!r}: that is central itself")
    if (
        not isinstance(zones, list)
        or not zones
        or not all(isinstance(one, str) and one and len(one) <= 255 for one in zones)
    ):
        raise errors.Invalid("availability_zones must be a list of at least one name")
    return Site(
        name=name,
        region=body["region"],
        availability_zones=tuple(dict.fromkeys(zones)),
        state=SiteState(body["state"]),
        service_user=body["service_user"],
        tunnel_prefixes=_to_prefixes(body["tunnel_prefixes"]),
        fabrics=_to_fabrics(body["fabrics"]),
        reachability=Reachability.UNKNOWN,
        description=body["description"],
    )


def _to_fabrics(body: Any) -> tuple[str, ...]:
    if (
        not isinstance(body, list)
        or len(body) > _MOST_FABRICS
        or not all(isinstance(one, str) and 0 < len(one.strip()) <= _LONGEST for one in body)
    ):
        raise errors.Invalid(
            f"fabrics must be a list of at most {_MOST_FABRICS} names of physical networks"
        )
    return tuple(dict.fromkeys(body))


def _to_prefixes(body: Any) -> tuple[str, ...]:
    if not isinstance(body, list) or len(body) > _MOST_PREFIXES:
        raise errors.Invalid(f"tunnel_prefixes must be a list of at most {_MOST_PREFIXES}")
    try:
        return tuple(str(ipaddress.ip_network(one)) for one in body)
    except (TypeError, ValueError) as error:
        raise errors.Invalid(f"tunnel_prefixes: {error}") from error
