"""Security groups as Neutron has them: the rule that lets a packet pass, or what one lacks."""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.diagnose.question import Packet
from isthmus.diagnose.world import Row

#: Names of protocols in rules that are not the packet's own word (neutron_lib.constants).
_NUMBERS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41,
    "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58,
    "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89, "ipip": 4, "vrrp": 112,
    "pgm": 113, "sctp": 132, "udplite": 136,
}  # fmt: skip
_ICMP = frozenset({1, 58})
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})

#: What a rule may ask for, in the order in which it is told what one lacks.
CONDITIONS = ("family", "protocol", "port", "remote_group", "address_group", "remote_prefix")


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of a packet, as rules ask for it."""

    address: str
    groups: frozenset[str] = frozenset()  #: security groups of the port that has the address


@dataclass(frozen=True, slots=True)
class Decision:
    """What the groups of one port make of a packet."""

    allowed: bool
    rule: Row | None = None  #: that allows it, or the one that lacks least
    lacks: tuple[str, ...] = ()  #: conditions that this rule does not meet; none: there is no rule
    stateful: bool = True  #: replies pass by themselves


def decide(
    groups: Iterable[Row],
    direction: str,
    packet: Packet,
    peer: Peer,
    address_groups: Mapping[str, Collection[str]] | None = None,
) -> Decision:
    """Decide whether security groups let a packet pass.

    Args:
        groups: of the port, as Neutron's API has them.
        direction: "ingress" or "egress", as the port sees it.
        packet: that comes or goes.
        peer: the other side.
        address_groups: addresses, by the group's id; a group that is not here holds none.
    """
    nearest: tuple[int, Row, tuple[str, ...]] | None = None
    for group in groups:
        for rule in group.get("security_group_rules") or ():
            if rule.get("direction") != direction:
                continue
            lacks = list_lacks(rule, packet, peer, address_groups or {})
            if not lacks:
                return Decision(True, rule, stateful=group.get("stateful") is not False)
            if nearest is None or len(lacks) < nearest[0]:
                nearest = (len(lacks), rule, lacks)
    if nearest is None:
        return Decision(False)
    return Decision(False, nearest[1], nearest[2])


def list_lacks(
    rule: Row, packet: Packet, peer: Peer, address_groups: Mapping[str, Collection[str]]
) -> tuple[str, ...]:
    """List the conditions of a rule that a packet does not meet.

    Args:
        rule: of a security group, as Neutron's API shows it.
        packet: the packet.
        peer: the other end: its address and its groups.
        address_groups: addresses, by the group's id; a group that is not here has none.
    """
    holds = {
        "family": rule.get("ethertype") == f"IPv{packet.family}",
        "protocol": _is_protocol(rule, packet),
        "port": _is_port(rule, packet),
        "remote_group": not rule.get("remote_group_id") or rule["remote_group_id"] in peer.groups,
        "address_group": not rule.get("remote_address_group_id")
        or _in_any(peer.address, address_groups.get(rule["remote_address_group_id"], ())),
        "remote_prefix": _in_prefix(rule, peer.address),
    }
    return tuple(name for name in CONDITIONS if not holds[name])


def _is_protocol(rule: Row, packet: Packet) -> bool:
    wanted = rule.get("protocol")
    if wanted in (None, "", "any", "0", 0):
        return True
    number = _NUMBERS.get(str(wanted)) or (int(wanted) if str(wanted).isdigit() else -1)
    if number in _ICMP:  # Neutron reads `icmp` in an IPv6 rule as ICMPv6
        return packet.protocol == "icmp"
    return number == packet.protocol_number


def _is_port(rule: Row, packet: Packet) -> bool:
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    if low is None and high is None:
        return True
    if packet.protocol == "icmp":  # type and code
        return low is None or low == packet.icmp_type
    if packet.protocol_number not in _WITH_PORTS:
        return True
    if packet.target_port is None:
        return False  # the reply goes to a port that the client chose
    return (low is None or packet.target_port >= low) and (
        high is None or packet.target_port <= high
    )


def _in_prefix(rule: Row, address: str) -> bool:
    prefix = rule.get("normalized_cidr") or rule.get("remote_ip_prefix")
    return not prefix or _in_any(address, (prefix,))


def _in_any(address: str, prefixes: Collection[str]) -> bool:
    try:
        wanted = ipaddress.ip_address(address)
        return any(wanted in ipaddress.ip_network(one, strict=False) for one in prefixes)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Spoofing:
    """What port security makes of a packet's source."""

    allowed: bool
    pairs: Sequence[Row] = field(default_factory=tuple)


def decide_source(port: Row, address: str) -> Spoofing:
    """Decide whether port security lets a port send from an address."""
    pairs = port.get("allowed_address_pairs") or ()
    fixed = [str(one["ip_address"]) for one in port.get("fixed_ips") or ()]
    if port.get("port_security_enabled") is False or address in fixed:
        return Spoofing(True, pairs)
    return Spoofing(_in_any(address, [str(one["ip_address"]) for one in pairs]), pairs)
