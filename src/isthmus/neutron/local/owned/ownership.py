"""Guards the calls of Neutron that would change central's objects: they are changed at central.

The rows of the resources say which calls those are, and whose object each one changes. Each call
first checks whether central owns the object. What this process does on central's behalf passes
(`applying`). Any other way is refused where rows are written (`flush_guard`).
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from neutron.plugins.ml2 import plugin as ml2_plugin
from neutron_lib.db import api as db_api

from isthmus.federation.identity import default_security_group_id
from isthmus.model.resource import ResourceType
from isthmus.neutron.api.inherited import find_inherited
from isthmus.neutron.local import quota
from isthmus.neutron.local.apply import leftover
from isthmus.neutron.local.owned import applying, guards
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.neutron.local.resource.row import FindOwners

_Plugin = TypeVar("_Plugin", bound=type)

#: RBAC rows of objects that central may own.
_SHARED: Mapping[str, ResourceType] = {
    row.rbac.object_type: kind for kind, row in ROWS.items() if row.rbac is not None
}


def guarded(plugin: _Plugin) -> _Plugin:
    """Guard those calls that a plugin has, of any resource: a class decorator.

    A method that the class defines itself is not wrapped: it checks by itself.
    """
    checks: dict[str, list[tuple[ResourceType, FindOwners]]] = {}
    for kind, row in ROWS.items():
        for name, find in row.guarded.items():
            if hasattr(plugin, name) and name not in vars(plugin):
                checks.setdefault(name, []).append((kind, find))
    for name, asked in checks.items():
        setattr(plugin, name, _guard(find_inherited(plugin, name), asked))
    return plugin


def _guard(native: Any, asked: Sequence[tuple[ResourceType, FindOwners]]) -> Callable[..., Any]:
    signature = inspect.signature(native)

    @functools.wraps(native)
    def call(self: Any, context: Any, *arguments: Any, **options: Any) -> Any:
        if applying.current() is None:
            said = signature.bind(self, context, *arguments, **options).arguments
            for kind, find in asked:
                guards.check_owner(context, kind, find(context, said))
        return native(self, context, *arguments, **options)

    return call


@guarded
class Ownership(ml2_plugin.Ml2Plugin):
    """ML2 that lets only central change central's objects."""

    def create_security_group(
        self, context: Any, security_group: Any, default_sg: bool = False
    ) -> dict[str, Any]:
        """Create a security group; a default group gets the id that it has in every tier.

        Neutron creates a project's default group when it first creates or changes a port of it. It
        is the same group as central's, whose rules were counted there: a site's own quota does not
        prevent it, nor the port.
        """
        body = security_group["security_group"]
        if default_sg:
            body["id"] = default_security_group_id(body["project_id"])
            leftover.clear_group(context, body["id"])
        with quota.exempt() if default_sg else contextlib.nullcontext():
            made: dict[str, Any] = super().create_security_group(
                context, security_group, default_sg
            )
        return made

    def _create_rules_from_template(
        self, context: Any, project_id: str, sg: Any, default_sg: bool
    ) -> None:
        """Add the template's rules to a new group, or those that central's group has."""
        item = applying.current()
        if item is None or item.id != sg.id:
            super()._create_rules_from_template(context, project_id, sg, default_sg)

    def create_rbac_policy(self, context: Any, rbac_policy: Any) -> dict[str, Any]:
        """Create an RBAC policy for an object of the site's own."""
        body = rbac_policy["rbac_policy"]
        kind = _SHARED.get(body["object_type"])
        if kind is not None:
            guards.check_owner(context, kind, [body["object_id"]])
        made: dict[str, Any] = super().create_rbac_policy(context, rbac_policy)
        return made

    def update_rbac_policy(self, context: Any, id: str, rbac_policy: Any) -> dict[str, Any]:
        """Update an RBAC policy for an object of the site's own."""
        _check_policy(context, id)
        changed: dict[str, Any] = super().update_rbac_policy(context, id, rbac_policy)
        return changed

    def delete_rbac_policy(self, context: Any, id: str) -> None:
        """Delete an RBAC policy for an object of the site's own."""
        _check_policy(context, id)
        super().delete_rbac_policy(context, id)


def _check_policy(context: Any, policy_id: str) -> None:
    """Refuse to change with whom an object of central's is shared."""
    for kind, row in ROWS.items():
        if row.rbac is None:
            continue
        query = sa.select(row.rbac.object_id).where(row.rbac.id == policy_id)
        with db_api.CONTEXT_READER.using(context):
            found = context.session.connection().scalar(query)
        if found:
            guards.check_owner(context, kind, [found])
            return
