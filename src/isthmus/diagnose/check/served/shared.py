"""What others have a say in: whose network it is, and how much a port may send."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_port,
    degraded,
    port_of,
    verdict,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Subject, Verdict

_SHARED = "access_as_shared"
#: How rules of a QoS policy say a limit, and its unit.
_LIMITS = {"bandwidth_limit": ("max_kbps", "kbit/s"), "packet_rate_limit": ("max_kpps", "kpps")}


def check_owner(look: Look) -> Iterator[Verdict]:
    """Yield a port on another project's network, which its own project may not use."""
    end, network = look.sender, look.sender.network or {}
    mine, theirs = (str(one.get("project_id") or "") for one in (end.port, network))
    if not mine or not theirs or mine == theirs or network.get("shared") is not False:
        return
    lets = [
        row for row in look.world.list(
            Source.CENTRAL, CENTRAL, "rbac_policy", object_id=end.network_id, action=_SHARED
        )
        if row.get("target_tenant") in ("*", mine)
    ]  # fmt: skip
    if not lets:
        yield degraded(
            "network.not_shared",
            Subject(end.network_id, "network", CENTRAL),
            f"port {end.label} of project {mine} is on network {end.network_id} of project "
            f"{theirs}, which is not shared with it: its project sees no such network, and makes "
            "and plugs no port on it",
            look.evidence(Source.CENTRAL, CENTRAL,
                          f"shared=false, no RBAC policy {_SHARED} for {mine}"),
            f"{OPENSTACK} network rbac create --type network --action {_SHARED} --target-project "
            f"{mine} {end.network_id}",
        )  # fmt: skip


def check_limits(look: Look) -> Iterator[Verdict]:
    """Yield limits on what the sender may send and receive: what is above is dropped."""
    end = look.sender
    held = (end.port.get("qos_policy_id"), (end.network or {}).get("qos_policy_id"))
    policy_id = next((str(one) for one in held if one), "")
    policy = look.world.find(Source.CENTRAL, CENTRAL, "qos_policy", id=policy_id)
    limits = [*_list_limits(policy or {})]
    if policy_id and limits:
        yield verdict(
            "qos.limit",
            Severity.ADVICE,
            port_of(end),
            f"port {end.label} is limited to {' and '.join(limits)}: what is above is dropped, "
            "which looks like loss",
            look.evidence(Source.CENTRAL, CENTRAL, f"QoS policy {policy_id} of the port"
                          if held[0] else f"QoS policy {policy_id} of its network"),
            f"{OPENSTACK} network qos rule set --max-kbps NUMBER {policy_id} RULE",
        )  # fmt: skip


def _list_limits(policy: Row) -> Iterator[str]:
    for rule in policy.get("rules") or ():
        key, unit = _LIMITS.get(str(rule.get("type")), ("", ""))
        if rule.get(key):
            yield f"{rule[key]} {unit} {rule.get('direction') or 'egress'}"


CHECKS = (
    Check(name="owner of the network", hop=Hop.SENDER_PORT, run=check_owner, needs=(Need.CENTRAL,),
          skips=at_a_port, vital=False),
    Check(name="QoS limits", hop=Hop.SENDER_PORT, run=check_limits, needs=(Need.CENTRAL,),
          skips=at_a_port, vital=False),
)  # fmt: skip
