"""What both extensions share: their plugin type, and resources made of attribute maps."""

from collections.abc import Callable
from typing import Any

import webob.exc
from neutron.api.v2 import resource_helper

from isthmus.neutron.api import policies
from isthmus.neutron.api.attributes import Attributes
from isthmus.neutron.api.body import request_body
from neutron import policy

#: Aliases: which of the two a server has tells which tier it is.
CENTRAL_ALIAS = "isthmus"
LOCAL_ALIAS = "isthmus-local"
#: Plugin type, as in `neutron_lib.plugins.directory`.
PLUGIN_TYPE = "ISTHMUS"
#: Extension loaders print it.
UPDATED = "2026-11-01T00:00:00-00:00"


def build_resources(
    resources: dict[str, Attributes], actions: dict[str, dict[str, str]] | None = None
) -> list[Any]:
    """Return Neutron's resources of attribute maps; paths have hyphens, bodies underscores."""
    plurals = resource_helper.build_plural_mappings({}, resources)
    found = list(
        resource_helper.build_resource_info(
            plurals, resources, PLUGIN_TYPE, action_map=actions, translate_name=True
        )
    )
    for one in found:
        _refuse_missing_verbs(one.controller.controller)
        _ask_policy_first(one.controller.controller)
        one.controller = request_body.bounded(one.controller)
    return found


#: Methods of Neutron's controller, with the plugin's for each.
_VERBS = {
    "index": "get_{collection}",
    "show": "get_{resource}",
    "create": "create_{resource}",
    "update": "update_{resource}",
    "delete": "delete_{resource}",
}
#: Forms for people, which Neutron routes like any other resource of a web site; it has none.
_FORMS = ("new", "edit")


def _refuse_missing_verbs(controller: Any) -> None:
    """Have what the plugin has no method for refused; Neutron's controller fails with a 500.

    The answer is Neutron's own where one of its controllers lacks a verb: 405, and 404 for those
    who may call nothing of the resource.
    """
    names = vars(controller)
    plugin, resource = names["_plugin"], names["_resource"]
    handlers = {
        verb: name.format(collection=names["_collection"], resource=resource)
        for verb, name in _VERBS.items()
    }
    missing = {verb for verb, handler in handlers.items() if not hasattr(plugin, handler)}
    rules = [
        rule.name for rule in policies.list_rules() if rule.name.split("_", 1)[1:] == [resource]
    ]
    for verb in (*missing, *_FORMS):
        known = verb not in _FORMS
        setattr(controller, verb, _refusal(rules if known else [], names["_collection"]))


def _ask_policy_first(controller: Any) -> None:
    """Have nothing read for those who may see nothing of a resource.

    Neutron's controller has the plugin read it all, and leaves out afterwards, row by row, what
    policy hides: any tenant could have a whole tier read, as often as it likes. The answer stays:
    an empty list, and 404.
    """
    names = vars(controller)
    resource, collection = names["_resource"], names["_collection"]
    rule = f"get_{resource}"
    if rule not in {one.name for one in policies.list_rules()}:
        return

    def may_read(context: Any) -> bool:
        return bool(policy.check(context, rule, {}, pluralized=collection))

    def index(request: Any, **arguments: Any) -> Any:
        if may_read(request.context):
            return list_all(request, **arguments)
        return {collection: []}

    def show(request: Any, id: str, **arguments: Any) -> Any:
        if may_read(request.context):
            return show_one(request, id, **arguments)
        raise webob.exc.HTTPNotFound("The resource could not be found.")

    list_all, show_one = controller.index, controller.show
    controller.index, controller.show = index, show


def _refusal(rules: list[str], collection: str) -> Callable[..., Any]:
    def refuse(request: Any, *_id: Any, **_arguments: Any) -> Any:
        context = request.context
        if rules and (
            context.is_admin
            or any(policy.check(context, rule, {}, pluralized=collection) for rule in rules)
        ):
            raise webob.exc.HTTPMethodNotAllowed(f"{collection} cannot be changed or read so")
        raise webob.exc.HTTPNotFound("The resource could not be found.")

    return refuse
