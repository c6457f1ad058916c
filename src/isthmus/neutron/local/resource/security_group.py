"""Security groups: the group first, then its rules by id.

A rule may refer to a group or address group that comes later in the same batch, even in a circle.
So a group is created with the rules that are possible by now, and is tried again for the others.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import rbac_db_models as rbac
from neutron.db.models import securitygroup as group_model
from neutron.extensions import securitygroup as ext_group
from neutron.objects import address_group as address_group_object
from neutron.objects import securitygroup as group_object
from neutron_lib.db import api as db_api
from neutron_lib.objects import exceptions as obj_exc

from isthmus import errors
from isthmus.federation.digest import RULE, pick_rule
from isthmus.federation.identity import default_security_group_id
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply import leftover
from isthmus.neutron.local.apply.owned import is_owned, remove_owned
from isthmus.neutron.local.apply.sharing import share
from isthmus.neutron.local.resource.row import LocalResource, by_id, in_bodies, in_body
from isthmus.store.local import mapping

_UPDATED = ("name", "description", "stateful")


def is_default(state: Mapping[str, Any]) -> bool:
    """Return whether a group is its project's default group, whose id both tiers derive."""
    return bool(state["id"] == default_security_group_id(state["project_id"]))


def ensure(core: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Create a group, or update it to what central has.

    Args:
        core: the core plugin.
        context: an administrator's, with no transaction open.
        state: the group as central's API shows it.
        keep_existing: whether to leave a group unchanged that came from central before.

    Raises:
        Stale: a rule refers to a group that is not here yet.
    """
    group_id = state["id"]
    have = SECURITY_GROUP.find(core, context, group_id)
    if have is None:
        crash.point("apply.security_group.sought")
        body = {
            "id": group_id,
            "project_id": state["project_id"],
            "name": state["name"],
            "description": state.get("description") or "",
            "stateful": state.get("stateful", True),
        }
        core.create_security_group(context, {"security_group": body}, default_sg=is_default(state))
        crash.point("apply.security_group.made")
        have = core.get_security_group(context, group_id)
    elif not is_owned(context, ResourceType.SECURITY_GROUP, group_id):
        _take_over(context, state)
        have = core.get_security_group(context, group_id)  # after waiting for other writers
    elif keep_existing:
        return
    changed = {
        name: value
        for name, value in changes(
            have,
            {name: state[name] for name in _UPDATED if name in state},
        ).items()
        if not (name == "name" and is_default(state))
    }
    if changed:
        core.update_security_group(context, group_id, {"security_group": changed})
    share(context, group_object.SecurityGroupRBAC, state)
    _reconcile(core, context, have["security_group_rules"], state["security_group_rules"])


def _take_over(context: Any, state: Mapping[str, Any]) -> None:
    """Make a default group that the site had to create alone central's.

    Raises:
        Conflict: it is not a default group.
    """
    from neutron_lib.plugins import directory

    if not is_default(state):
        raise errors.Conflict(f"security group {state['id']} was made at this site")
    group = group_model.SecurityGroup
    with db_api.CONTEXT_WRITER.using(context):
        connection = context.session.connection()
        # A transaction that changes the group as the site's own right now is waited for, or
        # refused.
        connection.execute(
            sa.select(group.id).where(group.id == state["id"]).with_for_update()
        ).all()
        mapping.add(
            connection,
            ResourceType.SECURITY_GROUP,
            state["id"],
            directory.get_plugin().site.site,
            project_id=state["project_id"],
        )


def _reconcile(
    core: Any,
    context: Any,
    have: Sequence[Mapping[str, Any]],
    wanted: Sequence[Mapping[str, Any]],
) -> None:
    """Update rules to what central has; one that differs was changed by hand and is replaced."""
    said = {rule["id"]: pick_rule(rule) for rule in wanted}
    there = {rule["id"] for rule in have}
    for rule in have:
        if said.get(rule["id"]) != pick_rule(rule):
            with contextlib.suppress(ext_group.SecurityGroupRuleNotFound):
                core.delete_security_group_rule(context, rule["id"])
            there.remove(rule["id"])
    leftover.clear(context, said.keys() - there)
    missing = []
    for rule in wanted:
        if rule["id"] in there:
            continue
        absent = _find_absent(context, rule)
        if absent:
            missing.append(absent)
            continue
        body = {name: rule.get(name) for name in RULE}
        try:
            core.create_security_group_rule(context, {"security_group_rule": body})
        except (ext_group.SecurityGroupRuleExists, obj_exc.NeutronDbObjectDuplicateEntry):
            # Two requests may bring the same group at once.
            if not group_object.SecurityGroupRule.objects_exist(context, id=rule["id"]):
                raise
    if missing:
        raise errors.Stale(f"rules refer to {', '.join(sorted(missing))}, not here yet")


def _find_absent(context: Any, rule: Mapping[str, Any]) -> str:
    group, addresses = rule.get("remote_group_id"), rule.get("remote_address_group_id")
    if group and not group_object.SecurityGroup.objects_exist(context, id=group):
        return f"security group {group}"
    if addresses and not address_group_object.AddressGroup.objects_exist(context, id=addresses):
        return f"address group {addresses}"
    return ""


def remove(core: Any, context: Any, group_id: str) -> None:
    """Remove a group.

    Raises:
        InUse: the site's own ports are in it.
        Conflict: it is not central's.
    """
    remove_owned(SECURITY_GROUP, core, context, group_id, in_use=ext_group.SecurityGroupInUse)


def _find_group_of_rule(context: Any, said: Mapping[str, Any]) -> Collection[str]:
    rule = group_model.SecurityGroupRule
    with db_api.CONTEXT_READER.using(context):
        query = sa.select(rule.security_group_id).where(rule.id == said["sgrid"])
        return set(context.session.connection().scalars(query))


SECURITY_GROUP = LocalResource(
    kind=ResourceType.SECURITY_GROUP,
    model=group_model.SecurityGroup,
    parts={
        group_model.SecurityGroup: "id",
        group_model.SecurityGroupRule: "security_group_id",
        rbac.SecurityGroupRBAC: "object_id",
    },
    carried=(*_UPDATED, "security_group_rules", attribute.RBAC),
    not_found=ext_group.SecurityGroupNotFound,
    ensure=ensure,
    remove=remove,
    guarded={
        "update_security_group": by_id(),
        "delete_security_group": by_id(),
        "create_security_group_rule": in_body("security_group_rule", "security_group_id"),
        "create_security_group_rule_bulk": in_bodies(
            "security_group_rules", "security_group_rule", "security_group_id"
        ),
        "delete_security_group_rule": _find_group_of_rule,
    },
    rbac=rbac.SecurityGroupRBAC,
)
