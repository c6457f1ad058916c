"""A rule of a security group in words, and as the match that Neutron writes into OVN for it.

Source: neutron/common/ovn/acl.py.
"""

from typing import Any

from isthmus.diagnose.world import Row

_TRANSPORT = {"tcp": "tcp", "udp": "udp", "sctp": "sctp", "6": "tcp", "17": "udp", "132": "sctp"}
_ICMP = frozenset({"icmp", "icmpv6", "ipv6-icmp", "1", "58"})


def render_rule(rule: Row) -> str:
    """Write a rule in a few words."""
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    ports = "" if low is None and high is None else f" {low}-{high}"
    remote = (
        rule.get("remote_ip_prefix")
        or rule.get("remote_group_id")
        or rule.get("remote_address_group_id")
        or "anybody"
    )
    return (
        f"{rule.get('direction')} {rule.get('ethertype')} {rule.get('protocol') or 'any'}{ports}, "
        f"{remote}"
    )


def render_match(rule: Row) -> str:
    """Write the match of a rule's ACL."""
    ingress = rule.get("direction") == "ingress"
    name = "ip6" if rule.get("ethertype") == "IPv6" else "ip4"
    group = f"pg_{rule.get('security_group_id')}".replace("-", "_")
    peer = f"{name}.{'src' if ingress else 'dst'}"
    parts = [f"{'outport' if ingress else 'inport'} == @{group}", name]
    if prefix := rule.get("normalized_cidr") or rule.get("remote_ip_prefix"):
        parts.append(f"{peer} == {prefix}")
    if remote := rule.get("remote_group_id"):
        parts.append(f"{peer} == $pg_{str(remote).replace('-', '_')}_{name}")
    if remote := rule.get("remote_address_group_id"):
        parts.append(f"{peer} == $as_{name}_{str(remote).replace('-', '_')}")
    return " && ".join((*parts, *_protocol(rule, "icmp6" if name == "ip6" else "icmp4")))


def _protocol(rule: Row, icmp: str) -> list[str]:
    protocol: Any = str(rule.get("protocol") or "")
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    if not protocol:
        return []
    if protocol in _ICMP:
        kinds = [f"{icmp}.type == {low}"] if low is not None else []
        codes = [f"{icmp}.code == {high}"] if high is not None else []
        return [icmp, *kinds, *codes]
    if protocol not in _TRANSPORT:
        return [f"ip.proto == {protocol}"]
    word = _TRANSPORT[protocol]
    if low is not None and low == high:
        return [word, f"{word}.dst == {low}"]
    lows = [f"{word}.dst >= {low}"] if low is not None else []
    highs = [f"{word}.dst <= {high}"] if high is not None else []
    return [word, *lows, *highs]
