"""QoS policies: the policy first, then its rules by id, all with central's ids."""

from collections.abc import Mapping
from typing import Any

from neutron.db import rbac_db_models as rbac
from neutron.db.qos import models
from neutron.objects.qos import policy as policy_object
from neutron_lib.exceptions import qos as qos_exc

from isthmus import errors
from isthmus.federation.digest import pick_limit
from isthmus.federation.merge import changes
from isthmus.journal import crash
from isthmus.model import attribute
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.apply.owned import check_owned, remove_owned
from isthmus.neutron.local.apply.sharing import share
from isthmus.neutron.local.resource.row import LocalResource, by_id

_UPDATED = ("name", "description")
#: How Neutron refuses a rule beside another one that is to change as well.
_CONFLICTS = (qos_exc.QoSRuleParameterConflict, qos_exc.QoSRulesConflict)


def ensure(plugin: Any, context: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Create a policy, or update it to what central has.

    Args:
        plugin: the QoS plugin.
        context: an administrator's, with no transaction open.
        state: the policy as central's API shows it.
        keep_existing: whether to leave an existing policy unchanged.

    Raises:
        Conflict: a policy of that id exists here and is not central's.
        Unsupported: this site loads no QoS plugin.
    """
    if plugin is None:
        raise errors.Unsupported(
            "this site loads no QoS plugin: put isthmus_local_qos into service_plugins, and qos "
            "into extension_drivers of ML2"
        )
    policy_id = state["id"]
    have = QOS_POLICY.find(plugin, context, policy_id)
    if have is None:
        crash.point("apply.qos_policy.sought")
        have = _create(plugin, context, state)
        crash.point("apply.qos_policy.made")
    else:
        check_owned(context, ResourceType.QOS_POLICY, policy_id)
        if keep_existing:
            return
    share(context, policy_object.QosPolicyRBAC, state)
    changed = changes(have, {name: state[name] for name in _UPDATED if name in state})
    if changed:
        plugin.update_policy(context, policy_id, {"policy": changed})
    _reconcile(plugin, context, have, state)


def _create(plugin: Any, context: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """Create a policy without rules; which is a project's default is central's to decide."""
    body = {"id": state["id"], "project_id": state["project_id"], "name": state["name"]}
    body["description"] = state.get("description") or ""
    made: dict[str, Any] = plugin.create_policy(context, {"policy": body})
    return made


def _reconcile(
    plugin: Any, context: Any, have: Mapping[str, Any], state: Mapping[str, Any]
) -> None:
    """Update rules to what central has.

    A rule may conflict with one that is to change after it (a limit below what is guaranteed), so
    rules that Neutron refuses are tried again after the others. What remains is a change that no
    order of updates makes: those rules are made anew.
    """
    policy_id = state["id"]
    wanted = {rule["id"]: pick_limit(rule) for rule in state["rules"]}
    there = {rule["id"]: pick_limit(rule) for rule in have["rules"]}
    for rule_id, rule in list(there.items()):
        if rule_id not in wanted or wanted[rule_id]["type"] != rule["type"]:
            _delete(plugin, context, policy_id, rule)
            del there[rule_id]
    left = [rule for rule_id, rule in wanted.items() if there.get(rule_id) != rule]
    while left:
        refused = []
        for rule in left:
            try:
                _write(plugin, context, policy_id, rule, new=rule["id"] not in there)
            except _CONFLICTS as error:
                refused.append((rule, error))
            else:
                there[rule["id"]] = rule
        stuck = [rule for rule, _ in refused]
        if len(stuck) == len(left):
            old = [rule for rule in stuck if rule["id"] in there]
            if not old:
                raise errors.Conflict(f"QoS policy {policy_id}: {refused[0][1]}")
            for rule in old:
                _delete(plugin, context, policy_id, rule)
                del there[rule["id"]]
        left = stuck


def _write(
    plugin: Any, context: Any, policy_id: str, rule: Mapping[str, Any], *, new: bool
) -> None:
    kind = rule["type"]
    said = {name: value for name, value in rule.items() if name != "type"}
    rule_class = plugin.rule_objects[kind]
    try:
        if new:
            plugin.create_policy_rule(context, rule_class, policy_id, {f"{kind}_rule": said})
        else:
            del said["id"]
            body = {f"{kind}_rule": said}
            plugin.update_policy_rule(context, rule_class, rule["id"], policy_id, body)
    except RuntimeError as error:
        raise _in_placement(policy_id, error) from error


def _delete(plugin: Any, context: Any, policy_id: str, rule: Mapping[str, Any]) -> None:
    rule_class = plugin.rule_objects[rule["type"]]
    try:
        plugin.delete_policy_rule(context, rule_class, rule["id"], policy_id)
    except qos_exc.QosRuleNotFound:
        pass
    except RuntimeError as error:
        raise _in_placement(policy_id, error) from error


def _in_placement(policy_id: str, error: RuntimeError) -> errors.InUse:
    """Describe what Neutron refuses by such an error: a minimum of which servers here hold a part.

    Failures of OVN's driver come as errors of Neutron's.
    """
    return errors.InUse(f"QoS policy {policy_id} is in use by servers of this site: {error}")


def remove(plugin: Any, context: Any, policy_id: str) -> None:
    """Remove a policy.

    Raises:
        InUse: a port or network of the site's own has it.
        Conflict: it is not central's.
    """
    remove_owned(QOS_POLICY, plugin, context, policy_id, in_use=qos_exc.QosPolicyInUse)


QOS_POLICY = LocalResource(
    kind=ResourceType.QOS_POLICY,
    model=models.QosPolicy,
    parts={
        models.QosPolicy: "id",
        models.QosBandwidthLimitRule: "qos_policy_id",
        models.QosDscpMarkingRule: "qos_policy_id",
        models.QosMinimumBandwidthRule: "qos_policy_id",
        models.QosMinimumPacketRateRule: "qos_policy_id",
        models.QosPacketRateLimitRule: "qos_policy_id",
        rbac.QosPolicyRBAC: "object_id",
    },
    carried=(*_UPDATED, "rules", attribute.RBAC),
    not_found=qos_exc.QosPolicyNotFound,
    ensure=ensure,
    remove=remove,
    guarded={
        "update_policy": by_id("policy_id"),
        "delete_policy": by_id("policy_id"),
        "create_policy_rule": by_id("policy_id"),
        "update_policy_rule": by_id("policy_id"),
        "delete_policy_rule": by_id("policy_id"),
    },
    rbac=rbac.QosPolicyRBAC,
)
