"""The API that sites and Xjob call; Neutron finds the methods by name."""

from contextlib import nullcontext
from typing import Any

from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.model.form import is_id
from isthmus.model.item import parse_items
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api.caller import get_caller, get_service, log_refusal
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.leases import recall
from isthmus.neutron.central.site_api import (
    bundle,
    desired,
    digest,
    hello,
    lease_request,
    parts,
    registration,
)
from isthmus.neutron.central.site_api.belief.rate import Rates
from isthmus.neutron.central.site_api.caller import (
    get_calling_site,
    while_heard,
    while_there,
    witnessed,
)
from isthmus.neutron.central.site_api.report import take
from isthmus.neutron.db.session import reading
from isthmus.store.tiers import restored
from isthmus.store.tiers import site as site_store
from isthmus.store.tiers.epoch import Behind

#: Limit of leases in one log line.
_MOST_NAMED = 10
#: Limit of objects in one bundle request.
_MOST_IDS = 64
_SITE_ROLE = "isthmus_site"
_RATES = Rates()


class _NotKept:
    """The list and show calls that Neutron expects of a resource: there are never any rows."""

    def _list_none(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[Any]:
        return []

    def _show_none(self, context: Any, id: str, fields: Any = None) -> Any:
        raise n_exc.NotFound

    get_site_registrations = _list_none
    get_site_registration = _show_none
    get_site_bundles = get_site_lease_requests = get_site_reports = get_site_desired_states = (
        _list_none
    )
    get_site_bundle = get_site_lease_request = get_site_report = get_site_desired_state = _show_none
    get_site_digests, get_site_digest = _list_none, _show_none


class SiteFacingApi(_NotKept):
    """Bundles, lease requests, reports, desired states: answered at once, not stored."""

    def create_site_bundle(self, context: Any, site_bundle: dict[str, Any]) -> dict[str, Any]:
        """Extend the requested objects to the calling site and return the bundle."""
        body = site_bundle["site_bundle"]
        with translated():
            on_behalf = _SITE_ROLE in context.service_roles
            site = get_calling_site(context, get_service(context) if on_behalf else None)
            _RATES.count(site.name, "bundle")
            with witnessed(), while_heard(context, site, body["incarnation"]):
                ids = _parse_ids(body["ids"])
                if body["mac_address"] is not None:
                    in_use = bundle.find_mac(site, ids, body["mac_address"], body["port_id"])
                    return {"type": body["type"], "items": [], "refused": [], "mac_in_use": in_use}
                asked = bundle.Asked(
                    kind=ResourceType(body["type"]),
                    ids=ids,
                    asker=context if on_behalf else None,
                    show_only=bool(body["show_only"]) and body["type"] == ResourceType.PORT,
                )
                made = bundle.make_bundle(n_context.get_admin_context(), site, asked)
        return {
            "type": asked.kind.value,
            "items": [item.to_dict() for item in made.items],
            "refused": [
                {"id": one, "code": error.code, "message": error.message}
                for one, error in made.refused
            ],
        }

    def create_site_lease_request(
        self, context: Any, site_lease_request: dict[str, Any]
    ) -> dict[str, Any]:
        """Lease more numbers of a pool to a site, or take some back."""
        with translated():
            site = get_calling_site(context)
            _RATES.count(site.name, "lease_request")
            body = site_lease_request["site_lease_request"]
            with witnessed(), while_heard(context, site, body["incarnation"]):
                request = lease_request.parse_request(body)
                try:
                    answer = lease_request.answer_request(context.elevated(), site, request)
                except errors.Exhausted:
                    if request.kind is PoolKind.SUBNET:  # for the next request, which does not wait
                        recall.ask_idle(request.pool_id, but=site.name)
                    raise
        return {
            "kind": request.kind.value,
            "pool_id": request.pool_id,
            "leases": lease_request.to_dict(answer.leases),
            "resting": [str(one) for one in answer.at_rest.still],
            "elsewhere": [str(one) for one in answer.at_rest.elsewhere],
        }

    def create_site_report(self, context: Any, site_report: dict[str, Any]) -> dict[str, Any]:
        """Process a site's report."""
        body = site_report["site_report"]
        with translated():
            site = get_calling_site(context)
            _RATES.count(site.name, "report")
            with witnessed(), while_heard(context, site, body["incarnation"], reports=True):
                items = parse_items(body["items"], take.MOST_ITEMS)
                results = take.take_report(site, int(body["sequence"]), items)
        return {"results": [result.to_dict() for result in results]}

    def create_site_registration(
        self, context: Any, site_registration: dict[str, Any]
    ) -> dict[str, Any]:
        """Process a site's registration, or keep a part of one that is to come."""
        with translated():
            site = get_calling_site(context)
            _RATES.count(site.name, "registration")
            body = site_registration["site_registration"]
            with while_there(context, site.name):
                if body["part"] is not None:
                    return parts.keep(context, site, body["part"])
                if body["leases"] is not None or body["parts"] is not None:
                    registration.REGISTRATION_RATE.count(site.name)
                said = hello.parse(site, parts.join(context, site, body))
                # By a hello alone a restored site believes its tables against OVN's rows again.
                relies = said.leases is not None or said.behind is not Behind.NOT
                with witnessed() if relies else nullcontext():
                    answer = registration.take(context.elevated(), site, said)
            if answer["void"]:
                what = f"site {site.name} names leases that are not its own"
                named = ", ".join(answer["void"][:_MOST_NAMED])
                log_refusal(context, get_caller(context), f"{what}: {named}")
        return answer

    def create_site_desired_state(
        self, context: Any, site_desired_state: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the desired states of objects at a site."""
        body = site_desired_state["site_desired_state"]
        with translated():
            site, wanted = SiteName(body["site"]), desired.parse_keys(body["keys"])
            with witnessed():
                with reading(context) as connection:
                    site_store.get_by_name(connection, site)
                    if site in restored.find_deliverable(connection).but:
                        raise errors.Busy(
                            f"central was restored, and has yet to hear from site {site}"
                        )
                items = [
                    item.to_dict()
                    for kind, ids in wanted.items()
                    for item in desired.read_desired(kind, site, ids)
                ]
        return {"site": site, "items": items}

    def create_site_digest(self, context: Any, site_digest: dict[str, Any]) -> dict[str, Any]:
        """Return a page of digests of what a site should hold."""
        body = site_digest["site_digest"]
        with translated():
            with reading(context) as connection:
                site_store.get_by_name(connection, body["site"])
            page = digest.make_page(
                SiteName(body["site"]),
                ResourceType(body["type"]),
                body["after"],
                [str(one) for one in body["attributes"]],
                network=body["network_id"] or "",
            )
        return {**body, "until": page.until, "digests": dict(page.digests)}


def _parse_ids(body: Any) -> tuple[str, ...]:
    if len(body) > _MOST_IDS or not all(map(is_id, body)):
        raise errors.Invalid(f"ids must be at most {_MOST_IDS} UUIDs")
    return tuple(body)
