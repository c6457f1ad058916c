"""Policies: who may call what. Tenants may call none of it: lists are empty, a GET is 404."""

from collections.abc import Iterable
from typing import Any

from oslo_policy import policy

ADMIN = "rule:admin_only"
READER = f"{ADMIN} or role:isthmus_reader"
#: A site's service user; central knows its site by the user's id.
SITE = "role:isthmus_site"
#: The same with a user's token beside its own: it asks on behalf of that user.
ON_BEHALF = f"{SITE} or service_roles:isthmus_site"
#: Xjob at central, where it reads the desired states of all sites. No site ever sees its token.
XJOB = "role:isthmus_xjob"
#: Xjob at a site: one user for each, whom the site knows (`carrier_user`) and central does not.
CARRIER = "role:isthmus_carrier"

_VERBS = {"get": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}

#: (resource, path, verbs that change it, who reads)
_OPERATED: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("site", "/sites", ("create", "update", "delete"), READER),
    ("site_mapping", "/site-mappings", ("update",), READER),
    ("site_job", "/site-jobs", ("update",), READER),
    ("site_refusal", "/site-refusals", (), READER),
    ("site_presence", "/site-presences", ("create", "delete"), READER),
    ("site_renewal", "/site-renewals", ("create",), READER),
    ("site_lease", "/site-leases", (), READER),
    ("site_event", "/site-events", (), READER),
    ("router_exit", "/router-exits", (), READER),
    ("site_shadow", "/site-shadows", (), READER),
    ("site_holding", "/site-holdings", (), READER),
)

#: (resource, path, who calls)
_CALLED: tuple[tuple[str, str, str], ...] = (
    ("site_bundle", "/site-bundles", ON_BEHALF),
    ("site_lease_request", "/site-lease-requests", SITE),
    ("site_report", "/site-reports", SITE),
    ("site_registration", "/site-registrations", SITE),
    ("site_desired_state", "/site-desired-states", XJOB),
    ("site_apply", "/site-applies", CARRIER),
    ("site_digest", "/site-digests", XJOB),
    ("site_comparison", "/site-comparisons", CARRIER),
)


def _rule(verb: str, resource: str, path: str, check: str) -> Any:
    one = verb in ("update", "delete")
    return policy.DocumentedRuleDefault(
        name=f"{verb}_{resource}",
        check_str=check,
        description=f"{verb.capitalize()} {resource.replace('_', ' ')}",
        operations=[{"method": _VERBS[verb], "path": f"{path}/{{id}}" if one else path}],
        scope_types=["project"],
    )


def list_rules() -> Iterable[Any]:
    """List every rule; Neutron finds this function by its entry point."""
    rules = []
    for resource, path, verbs, reader in _OPERATED:
        rules.append(_rule("get", resource, path, reader))
        rules += [_rule(verb, resource, path, ADMIN) for verb in verbs]
    for resource, path, caller in _CALLED:
        rules.append(_rule("create", resource, path, caller))
    actions = (
        ("retry", "/site-jobs", "Retry a job"),
        ("cancel", "/site-jobs", "Cancel a job"),
        ("release", "/site-mappings", "Have the home of a port release it"),
        ("go_on_without", "/sites", "Have nobody wait for a site to register"),
        ("return_lease", "/sites", "Have a site give back what is not its own of a lease"),
        ("remove_site", "/sites", "Delete a site that holds just what was shown"),
        ("free_for_good", "/site-leases", "Free what a removed site never let go of"),
    )
    return [*rules, *(_action(*one) for one in actions)]


def _action(action: str, path: str, description: str) -> Any:
    # Neutron looks up the rule of an action under the action's bare name.
    return policy.DocumentedRuleDefault(
        name=action,
        check_str=ADMIN,
        description=description,
        operations=[{"method": "PUT", "path": f"{path}/{{id}}/{action}"}],
        scope_types=["project"],
    )
