"""Attribute maps, in Neutron's form, of the resources that Isthmus adds.

A key that is not here is not shown, and a body that has it is refused.
"""

from typing import Any

from isthmus.model.resource import RESOURCES, ResourceType
from isthmus.neutron.api.body import request_body

Attributes = dict[str, dict[str, Any]]


request_body.add_validators()


def _shown(*, primary: bool = False, column: bool = True) -> dict[str, Any]:
    """Return a read-only attribute; without a column it can be neither filtered nor sorted by."""
    return {
        "allow_post": False,
        "allow_put": False,
        "is_visible": True,
        "is_filter": column,
        "is_sort_key": column,
        "primary_key": primary,
    }


def _given(validate: dict[str, Any] | None = None, *, put: bool = False, **more: Any) -> Any:
    return {
        "allow_post": True,
        "allow_put": put,
        "is_visible": True,
        "is_filter": True,
        "is_sort_key": True,
        **({"validate": validate} if validate else {}),
        **more,
    }


_TEXT = {"type:isthmus_text": 255}
_NAME = {"type:regex": "^[a-z0-9][a-z0-9-]{0,62}$"}
_UUID = {"type:uuid": None}

SITES: Attributes = {
    "id": _shown(primary=True),
    "name": _given(_NAME),
    "region": _given(_TEXT, put=True),
    "availability_zones": _given(put=True),
    "state": _given(
        {"type:values": ["enabled", "draining", "disabled"]}, put=True, default="enabled"
    ),
    "service_user": _given(_TEXT, put=True),
    "tunnel_prefixes": _given(put=True, default=[]),
    "fabrics": _given(put=True, default=[]),
    "description": _given(_TEXT, put=True, default=""),
    "reachability": _shown(),
    "last_seen_at": _shown(),
    "last_error": _shown(),
    "backlog": _shown(),
    "parked": _shown(),
    "waits_for": _shown(column=False),
    "ports_due": _shown(column=False),
    "holds": _shown(column=False),
    "created_at": _shown(),
    "updated_at": _shown(),
}

SITE_MAPPINGS: Attributes = {
    "id": _shown(primary=True),
    "type": _shown(),
    "resource_id": _shown(),
    "site": _shown(),
    "project_id": _shown(),
    "withdrawn": _shown(),
    "created_at": _shown(),
}

SITE_JOBS: Attributes = {
    "id": _shown(primary=True),
    "site": _shown(),
    "type": _shown(),
    "resource_id": _shown(),
    "state": _shown(),
    "generation": _shown(),
    "attempts": _shown(),
    "age": _shown(),
    "created_at": _shown(),
    "changed_at": _shown(),
    "not_before": _shown(),
    "last_error": _shown(),
}

#: What central refused of sites' reports.
SITE_REFUSALS: Attributes = {
    "id": _shown(primary=True),
    "site": _shown(),
    "type": _shown(),
    "resource_id": _shown(),
    "attributes": _shown(),
    "reason": _shown(),
    "created_at": _shown(),
    "changed_at": _shown(),
}

#: A filter alone: no row shows it.
_ASKED = {**_shown(), "is_visible": False, "is_sort_key": False}

#: What happened, in the order of `number`.
SITE_EVENTS: Attributes = {
    "id": _shown(primary=True),
    "number": _shown(),
    "created_at": _shown(),
    "what": _shown(),
    "site": _shown(),
    "type": _shown(),
    "resource_id": _shown(),
    "who": _shown(),
    "details": _shown(),
    "since": _ASKED,
    "until": _ASKED,
}

#: Comparisons of sites with what they should hold, as they were asked for.
SITE_RENEWALS: Attributes = {
    "id": _shown(primary=True),
    "site": _given(_NAME),
    "network_id": _given({"type:uuid_or_none": None}, default=None),
    "state": _shown(),
    "pages": _shown(),
    "noted": _shown(),
    "jobs": _shown(column=False),
    "parked": _shown(column=False),
    "last_error": _shown(),
    "created_at": _shown(),
    "ended_at": _shown(),
}

SITE_PRESENCES: Attributes = {
    "id": _shown(primary=True),
    "network_id": _given(_UUID),
    "site": _given(_NAME),
    "withdrawn": _shown(),
    "datapath_key": _shown(),
    "created_at": _shown(),
}

#: By which sites routers' traffic leaves; `id` is the router's.
ROUTER_EXITS: Attributes = {
    "id": _shown(primary=True),
    "name": _shown(),
    "project_id": _shown(),
    "subnets": _shown(column=False),
    "gateways": _shown(column=False),
    "floating_ips": _shown(column=False),
    "forwardings": _shown(column=False),
    "sites": _shown(column=False),
}

SITE_LEASES: Attributes = {
    "id": _shown(primary=True),
    "kind": _shown(),
    "pool_id": _shown(),
    "site": _shown(),
    "first": _shown(),
    "last": _shown(),
    "size": _shown(),
    "created_at": _shown(),
}

#: The incarnation of the calling site; `isthmus.store.tiers.epoch.show_incarnation`.
_INCARNATION = _given({"type:isthmus_text_or_none": 64}, default=None)

_ON_DEMAND = [kind.value for kind, one in RESOURCES.items() if one.on_demand]

SITE_BUNDLES: Attributes = {
    "incarnation": _INCARNATION,
    "type": _given({"type:values": _ON_DEMAND}),
    "ids": _given({"type:list_of_unique_strings": 36}),
    "show_only": _given({"type:boolean": None}, default=False),
    "mac_address": _given({"type:mac_address_or_none": None}, default=None),
    "port_id": _given({"type:uuid_or_none": None}, default=None),
    "mac_in_use": _shown(),
    "items": _shown(),
    "refused": _shown(),
}

SITE_LEASE_REQUESTS: Attributes = {
    "incarnation": _INCARNATION,
    "kind": _given({"type:values": ["subnet", "port_key"]}),
    "pool_id": _given(_UUID),
    "count": _given({"type:isthmus_whole": None}, default=0),
    "address": _given({"type:isthmus_text_or_none": 64}, default=None),
    "give_back": _given(default=[]),
    "resting": _given(default=[]),
    "answered": _given(default=[]),
    "elsewhere": _shown(),
    "leases": _shown(),
}

SITE_REPORTS: Attributes = {
    "incarnation": _INCARNATION,
    "sequence": _given({"type:isthmus_whole": None}),
    "items": _given(),
    "results": _shown(),
}

SITE_REGISTRATIONS: Attributes = {
    "registration": _given({"type:uuid_or_none": None}, default=None),
    "epoch": _given({"type:isthmus_whole": None}),
    "life": _given({"type:isthmus_text_or_none": 16}, default=None),
    "heard": _given({"type:isthmus_whole": None}, default=0),
    "proof": _given({"type:isthmus_text_or_none": 64}, default=None),
    "leases": _given(default=None),
    "datapaths": _given(default=None),
    "ports": _given(default=None),
    "addresses": _given(default=None),
    "shadows": _given(default=None),
    "holdings": _given(default=None),
    "behind": _given({"type:isthmus_whole": None}, default=0),
    "part": _given(default=None),
    "parts": _given(default=None),
    "name_numbers": _shown(),
    "restored": _shown(),
    "seen": _shown(),
    "register": _shown(),
    "void": _shown(),
    "port_keys": _shown(),
    "pending": _shown(),
    "recovered": _shown(),
    "aside": _shown(),
}

SITE_DESIRED_STATES: Attributes = {
    "site": _given(_NAME),
    "keys": _given({"type:isthmus_keys": None}),
    "items": _shown(),
}

#: Their numbers show the incarnation of central; `isthmus.model.number`.
SITE_APPLIES: Attributes = {
    "sequence": _given({"type:isthmus_whole": None}),
    "items": _given(),
    "results": _shown(),
}

#: Types that are sent to sites and can be compared.
_COMPARED = [*(one.value for one in RESOURCES), ResourceType.SHADOW.value]

#: The only network whose objects are compared; none for all.
_ONE_NETWORK = _given({"type:uuid_or_none": None}, default=None)

#: At central: a page of digests of what a site should hold.
SITE_DIGESTS: Attributes = {
    "site": _given(_NAME),
    "type": _given({"type:values": _COMPARED}),
    "after": _given({"type:isthmus_text": 36}, default=""),
    "attributes": _given({"type:isthmus_attributes": None}),
    "network_id": _ONE_NETWORK,
    "until": _shown(),
    "digests": _shown(),
}

#: At a site: whether a page is equal, and if not, what differs.
SITE_COMPARISONS: Attributes = {
    "type": _given({"type:values": ["", *_COMPARED]}, default=""),
    "after": _given({"type:isthmus_text": 36}, default=""),
    "until": _given({"type:isthmus_text": 36}, default=""),
    "digest": _given({"type:isthmus_text": 64}, default=""),
    "digests": _given({"type:isthmus_digests": None}, default=None),
    "network_id": _ONE_NETWORK,
    "carried": _shown(),
    "same": _shown(),
    "differing": _shown(),
}

#: The ports of other sites, as a site's data plane knows them; `id` is the port's own.
SITE_SHADOWS: Attributes = {
    "id": _shown(primary=True),
    "network_id": _shown(),
    "site": _shown(column=False),
    "chassis": _shown(),
    "hostname": _shown(column=False),
    "encap_ip": _shown(column=False),
    "port_key": _shown(),
    "mac_address": _shown(column=False),
    "addresses": _shown(column=False),
    "extra_macs": _shown(column=False),
    "answered": _shown(column=False),
    "enabled": _shown(column=False),
    "accepts_unknown": _shown(column=False),
    "security_groups": _shown(column=False),
    "names": _shown(column=False),
}

SITE_HOLDINGS: Attributes = {
    "id": _shown(primary=True),
    "tier": _shown(),
    "network_id": _shown(),
    **{one.collection: _shown() for one in RESOURCES.values()},
    "leases": _shown(),
    "mappings": _shown(),
    "locations": _shown(),
    "datapaths": _shown(),
    "shadows": _shown(),
    "ovn": _shown(),
    "pulse": _shown(),
    "journal": _shown(),
    "epoch": _shown(),
}

#: What central serves.
CENTRAL: dict[str, Attributes] = {
    "sites": SITES,
    "site_mappings": SITE_MAPPINGS,
    "site_jobs": SITE_JOBS,
    "site_refusals": SITE_REFUSALS,
    "site_presences": SITE_PRESENCES,
    "site_renewals": SITE_RENEWALS,
    "site_events": SITE_EVENTS,
    "site_leases": SITE_LEASES,
    "router_exits": ROUTER_EXITS,
    "site_bundles": SITE_BUNDLES,
    "site_lease_requests": SITE_LEASE_REQUESTS,
    "site_reports": SITE_REPORTS,
    "site_registrations": SITE_REGISTRATIONS,
    "site_desired_states": SITE_DESIRED_STATES,
    "site_digests": SITE_DIGESTS,
    "site_holdings": SITE_HOLDINGS,
}

#: What a site serves.
LOCAL: dict[str, Attributes] = {
    "site_applies": SITE_APPLIES,
    "site_comparisons": SITE_COMPARISONS,
    "site_shadows": SITE_SHADOWS,
    "site_holdings": SITE_HOLDINGS,
}
